/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange with a registry, by libcurl: a request, its answer, and what went wrong.
 *
 * An exchange runs alone (exchange_perform) or, for blobs, among others on a multi handle whose
 * loop belongs to the caller. The body of a success goes to `sink` when there is one, any other
 * body into `body`, up to a limit. Redirects are followed by libcurl, which drops our Authorization
 * header when host, port or scheme change (CURLOPT_HTTPHEADER(3), since 7.83); a redirect from
 * https never leads to plain http.
 */
#ifndef LIBIMAGE_REGISTRY_HTTP_H
#define LIBIMAGE_REGISTRY_HTTP_H

#include <curl/curl.h>
#include "base/buf.h"
#include "base/err.h"
#include "image.h"

enum {
    HTTP_REDIRECTS_MAX = 8,
    HTTP_HEADERS_MAX = 64 << 10,    /* bytes of the headers of one exchange, redirects included */
    HTTP_ERROR_BODY_MAX = 64 << 10, /* of an answer that is no success, or a token */
    HTTP_CONNECT_S = 20,
    HTTP_STALL_S = 60, /* no byte for so long: the peer is gone */
    HTTP_TRIES = 5,
    HTTP_BACKOFF_MS = 100, /* before the second try; doubles */
    HTTP_WAIT_MAX_S = 30,  /* the longest Retry-After that is waited for */
};

struct http_trust {
    const char *ca_file; /* PEM; NULL: the system's */
    bool unverified;     /* any certificate will do */
};

struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    int (*sink)(struct exchange *self, const void *data, size_t len);
    void *arg;
    int from; /* what goes out: `length` bytes of this file, from `start` on */
    int64_t start, length, sent;
    int (*tick)(struct exchange *self); /* while bytes go out; negative ends */
    bool once;                          /* remote_run: the caller tries again, not the exchange */
    /* set by a callback that ended the exchange: it is not worth another try */
    int fault;
    struct wharf_error error;
    size_t header_bytes;
    CURLcode result;
    char text[CURL_ERROR_SIZE];
};

/* `method` NULL: GET. -ENOMEM. */
int exchange_open(struct exchange *x, const char *method, const char *url,
                  const struct http_trust *trust, size_t body_max);
void exchange_close(struct exchange *x);
#define autoexchange __attribute__((cleanup(exchange_close)))

/* Adds a header line. */
int exchange_header(struct exchange *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The body to send: a part of a file (the caller's), or bytes that live as long as the exchange. */
void exchange_send_file(struct exchange *x, int fd, int64_t start, int64_t length);
void exchange_send(struct exchange *x, const void *data, size_t len);
/* Runs it alone; on `multi` if there is one, to share its connections. The outcome is in x. */
void exchange_perform(struct exchange *x, CURLM *multi);

long exchange_status(const struct exchange *x);
/* The value of header `name`, its `at`th, or NULL. Lives until the next perform. */
const char *exchange_value(struct exchange *x, const char *name, size_t at);
/* True if the failure may go away by itself: transport, 429, 5xx. */
bool exchange_may_retry(const struct exchange *x);
/* Milliseconds to wait before try number `tries` + 1; honours Retry-After. */
int64_t exchange_backoff_ms(struct exchange *x, unsigned tries);
/* Makes an error of a failed exchange; `host` and `object` are named in it. */
int exchange_error(struct exchange *x, const char *host, const char *object, struct wharf_error *e);

/* True if the answer is an error document whose first code is this one. */
bool exchange_code_is(struct exchange *x, const char *code);

int64_t now_ms(void);

#endif
