/* SPDX-License-Identifier: Apache-2.0 */
/* URLs by libcurl. See fetch.h. */
#include "libimage/build/fetch.h"

#include <curl/curl.h>
#include "base/fd.h"
#include "base/str.h"

struct download {
    int fd, code;
    int64_t bytes;
    struct build_fetched fetched;
};

static size_t take(char *data, size_t size, size_t count, void *arg)
{
    struct download *d = arg;

    d->bytes += (int64_t)(size * count);
    d->code = d->bytes > FETCH_BYTES_MAX ? -EFBIG : fd_write_all(d->fd, data, size * count);
    return d->code < 0 ? 0 : size * count;
}

/* `Content-Disposition: attachment; filename="x"` */
static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    static const char name[] = "content-disposition:";
    struct download *d = arg;
    autofree char *line = strndup(data, size * count);
    char *p = line && strncasecmp(line, name, strlen(name)) == 0 ? strstr(line, "filename=") : NULL;

    if (p) {
        p += strlen("filename=");
        p += *p == '"';
        p[strcspn(p, "\";\r\n")] = '\0';
        const char *slash = strrchr(p, '/');
        snprintf(d->fetched.name, sizeof(d->fetched.name), "%s", slash ? slash + 1 : p);
    }
    return size * count;
}

static int explain(const char *url, CURL *curl, CURLcode code, const struct download *d,
                   struct wharf_error *e)
{
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (d->code == -EFBIG)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "'%.200s' gives more than %lld bytes", url,
                       (long long)FETCH_BYTES_MAX);
    if (d->code < 0)
        return err_code(e, d->code, "cannot keep what '%.200s' gives", url);
    if (code == CURLE_HTTP_RETURNED_ERROR)
        return err_set(e, status == 404 ? -ENOENT : -EACCES,
                       status == 404 ? WHARF_ERROR_NOT_FOUND : WHARF_ERROR_UNAVAILABLE,
                       "failed to GET %.200s with status %ld", url, status);
    return err_set(e, -EIO, WHARF_ERROR_UNAVAILABLE, "cannot download '%.200s': %s", url,
                   curl_easy_strerror(code));
}

int fetch_url(const char *url, int fd, struct build_fetched *ret, struct wharf_error *e)
{
    struct download d = { .fd = fd, .fetched.modified = -1 };
    CURL *curl = curl_easy_init();
    curl_off_t modified = -1;
    CURLcode code;
    int r = 0;

    if (!curl)
        return err_nomem(e);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https,ftp");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)FETCH_SECONDS_IDLE);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &d);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &d);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_FILETIME_T, &modified);
    if (code != CURLE_OK)
        r = explain(url, curl, code, &d, e);
    curl_easy_cleanup(curl);
    d.fetched.modified = modified;
    if (r == 0)
        *ret = d.fetched;
    return r;
}
