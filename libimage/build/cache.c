/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache: layers/build/KEY in the store, a small JSON document each. A key is a digest of all
 * that a result depends on, so a record is never wrong, at most useless: its layer was collected.
 * Records are written after what they name is durable, by rename and without a sync: a crash loses
 * them or leaves an empty file, which is as good as none. Collection keeps what a record names
 * (collect.c); pruning removes records (prune.c).
 *
 *     {"empty":true}
 *     {"diff":"sha256:..","chain":"sha256:..","blob":"sha256:..","size":123,"type":"application/.."}
 *     {"created":"2026-11-23T23:26:37.123456789Z"}
 */
#include <fcntl.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/work.h"

enum { RECORD_MAX = 4096 };

/* ---- keys ------------------------------------------------------------------------------------ */

void key_begin(struct key *k, const char *what)
{
    *k = (struct key){ 0 };
    hasher_init(&k->hasher, NULL);
    key_add(k, "1"); /* the form of keys: a new number makes all old records useless */
    key_add(k, what);
}

void key_add(struct key *k, const char *text)
{
    uint64_t len = text ? strlen(text) : UINT64_MAX;

    hasher_add(&k->hasher, &len, sizeof(len));
    if (text)
        hasher_add(&k->hasher, text, (size_t)len);
}

void key_end(struct key *k, char ret[KEY_MAX])
{
    struct digest d;

    hasher_end(&k->hasher, &d);
    snprintf(ret, KEY_MAX, "%.64s", digest_hex(&d));
}

/* ---- records --------------------------------------------------------------------------------- */

static json_t *record_write(const struct record *r)
{
    if (r->empty)
        return json_pack("{s:b}", "empty", 1);
    return json_pack("{s:s, s:s, s:s, s:I, s:s}", "diff", r->layer.diff.text, "chain",
                     r->layer.chain.text, "blob", r->layer.blob.text, "size",
                     (json_int_t)r->layer.size, "type", r->layer.media_type);
}

static bool record_read(json_t *j, struct record *ret)
{
    const char *diff, *chain, *blob, *type;
    json_int_t size;

    *ret = (struct record){ .empty = json_is_true(json_object_get(j, "empty")) };
    if (ret->empty)
        return true;
    if (json_unpack(j, "{s:s, s:s, s:s, s:I, s:s}", "diff", &diff, "chain", &chain, "blob", &blob,
                    "size", &size, "type", &type) < 0)
        return false;
    ret->layer.size = size;
    snprintf(ret->layer.media_type, sizeof(ret->layer.media_type), "%s", type);
    return digest_parse(&ret->layer.diff, diff, "record", NULL) == 0 &&
           digest_parse(&ret->layer.chain, chain, "record", NULL) == 0 &&
           digest_parse(&ret->layer.blob, blob, "record", NULL) == 0;
}

int cache_open(struct job *job, struct wharf_error *e)
{
    int parent = job->store->private;

    job->fresh = json_object();
    if (!job->fresh)
        return err_nomem(e);
    if (mkdirat(parent, "build", 0700) < 0 && errno != EEXIST)
        return err_sys(e, "cannot make '%s/layers/build'", job->store->path);
    job->cache = openat(parent, "build", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return job->cache < 0 ? err_sys(e, "cannot open '%s/layers/build'", job->store->path) : 0;
}

/* A record of this build or of an earlier one; json_decref it. */
static json_t *find(struct job *job, const char *key, bool *ret_fresh)
{
    autofree char *text = NULL;
    json_t *j;
    ssize_t n;

    pthread_mutex_lock(&job->lock);
    j = json_incref(json_object_get(job->fresh, key));
    pthread_mutex_unlock(&job->lock);
    *ret_fresh = j != NULL;
    if (j || job->o.no_cache)
        return j;
    n = file_read(job->cache, key, RECORD_MAX, &text);
    if (n <= 0 || json_read(text, (size_t)n, JSON_LIMITS, "record", &j, NULL) < 0)
        return NULL;
    utimensat(job->cache, key, NULL, 0); /* used now: prune.c takes the oldest */
    return j;
}

bool cache_find(struct job *job, const char *key, struct record *ret)
{
    bool fresh, found;
    struct record r;
    json_t *j = find(job, key, &fresh);

    found = j && record_read(j, &r);
    json_decref(j);
    if (found && !r.empty && !fresh) {
        autoclose int blob = store_open_blob(job->store, -1, &r.layer.blob);

        found = blob >= 0;
    }
    if (found)
        *ret = r;
    return found;
}

static int put(struct job *job, const char *key, json_t *value, struct wharf_error *e)
{
    int r = -1;

    pthread_mutex_lock(&job->lock);
    if (value)
        r = json_object_set_new(job->fresh, key, value);
    pthread_mutex_unlock(&job->lock);
    return r < 0 ? err_nomem(e) : 0;
}

int cache_add(struct job *job, const char *key, const struct record *record, struct wharf_error *e)
{
    return put(job, key, record_write(record), e);
}

int cache_time(struct job *job, const char *key, char ret[40], struct wharf_error *e)
{
    bool fresh;
    json_t *j = find(job, key, &fresh);
    const char *found = j ? json_text(j, "created") : NULL;

    if (found && *found)
        snprintf(ret, 40, "%s", found);
    json_decref(j);
    return found && *found ? 1 : put(job, key, json_pack("{s:s}", "created", ret), e);
}

int cache_write(struct job *job, struct wharf_error *e)
{
    const char *key;
    json_t *value;

    json_object_foreach (job->fresh, key, value) {
        autofree char *text = json_write(value, JSON_COMPACT);
        int r = text ? file_replace(job->cache, key, text, strlen(text), 0600, false) : -ENOMEM;

        if (r < 0)
            return err_code(e, r, "cannot write '%s/layers/build/%s'", job->store->path, key);
    }
    return 0;
}
