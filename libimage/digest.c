/* SPDX-License-Identifier: Apache-2.0 */
/* Digests. See digest.h. The hash runs in OpenSSL, which uses the processor's SHA extensions. */
#include "libimage/digest.h"
#include "base/buf.h"
#include "base/str.h"

static const struct {
    const char *prefix;
    size_t digits;
} algorithms[] = { { "sha256:", 64 }, { "sha512:", 128 } };

/* True if the text has the general grammar, whatever the algorithm. */
static bool well_formed(const char *text)
{
    size_t algorithm = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
    const char *encoded = text + algorithm + 1;

    if (algorithm == 0 || text[algorithm] != ':' || strchr("+._-", text[0]) ||
        strchr("+._-", text[algorithm - 1]))
        return false;
    return *encoded && !encoded[strspn(encoded, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
                                                "YZ0123456789=_-")];
}

bool digest_valid(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        const char *hex = str_after(text, algorithms[i].prefix);

        if (hex)
            return strlen(hex) == algorithms[i].digits &&
                   strspn(hex, "0123456789abcdef") == algorithms[i].digits;
    }
    return false;
}

int digest_parse(struct digest *ret, const char *text, const char *what, struct wharf_error *e)
{
    if (digest_valid(text)) {
        memcpy(ret->text, text, strlen(text) + 1);
        return 0;
    }
    if (well_formed(text) && !str_after(text, "sha256:") && !str_after(text, "sha512:"))
        return err_unsupported(e, "%s: digest '%.150s' has an unknown algorithm", what, text);
    return err_invalid(e, "%s: '%.150s' is not a digest", what, text);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return streq(a->text, b->text);
}

const char *digest_hex(const struct digest *d)
{
    const char *colon = strchr(d->text, ':');

    return colon ? colon + 1 : d->text;
}

void digest_path(const struct digest *d, char path[DIGEST_PATH_MAX])
{
    char *colon;

    memcpy(path, d->text, sizeof(d->text));
    colon = strchr(path, ':');
    if (colon)
        *colon = '/';
}

int hasher_init(struct hasher *h, const struct digest *like)
{
    h->wide = like && str_after(like->text, "sha512:");
    h->on = h->wide ? SHA512_Init(&h->sha512) : SHA256_Init(&h->sha256);
    return h->on ? 0 : -ENOMEM;
}

void hasher_add(struct hasher *h, const void *data, size_t len)
{
    if (h->wide)
        SHA512_Update(&h->sha512, data, len);
    else
        SHA256_Update(&h->sha256, data, len);
}

void hasher_end(struct hasher *h, struct digest *ret)
{
    unsigned char raw[SHA512_DIGEST_LENGTH];

    if (h->wide)
        SHA512_Final(raw, &h->sha512);
    else
        SHA256_Final(raw, &h->sha256);
    memcpy(ret->text, algorithms[h->wide].prefix, 7);
    hex_encode(raw, algorithms[h->wide].digits / 2, ret->text + 7);
}

void hasher_done(struct hasher *h)
{
    h->on = false;
}

int digest_of(const void *data, size_t len, struct digest *ret)
{
    struct hasher h = { 0 };
    int r = hasher_init(&h, NULL);

    if (r == 0) {
        hasher_add(&h, data, len);
        hasher_end(&h, ret);
    }
    hasher_done(&h);
    return r;
}

int digest_chain(const struct digest *parent, const struct digest *diff, struct digest *ret)
{
    char text[2 * IMAGE_DIGEST_MAX];
    int n;

    if (!parent) {
        *ret = *diff;
        return 0;
    }
    n = snprintf(text, sizeof(text), "%s %s", parent->text, diff->text);
    return digest_of(text, (size_t)n, ret);
}
