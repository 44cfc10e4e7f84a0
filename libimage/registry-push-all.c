/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of a push: the documents below the top are read, all blobs that they name go up side by
 * side, then the manifests, the deepest first. The first blob goes alone: by then the scheme and
 * the login are settled, and the workers start with both.
 */
#include "libimage/registry-push.h"
#include "base/str.h"

#include <stdatomic.h>

enum { PUSH_WORKERS = 4, PUSH_BLOBS_MAX = 4096 };

struct push_item {
    struct descriptor d;
    char label[IMAGE_DIGEST_MAX]; /* diff id of a layer, in whose terms docker tells of pushes */
    bool config;
};

struct push_plan {
    struct push *push;
    struct document *manifests; /* the deepest first */
    char **texts;
    struct digest *digests;
    size_t manifest_count;
    struct push_item *blobs;
    size_t blob_count;
    atomic_size_t next;
    atomic_int result;
    pthread_mutex_t lock;
    struct wharf_error *e;
};

static bool is_planned(const struct push_plan *plan, const struct digest *digest)
{
    for (size_t i = 0; i < plan->blob_count; i++) {
        if (digest_equal(&plan->blobs[i].d.digest, digest))
            return true;
    }
    return false;
}

static int add_blob(struct push_plan *plan, const struct descriptor *d, const char *label,
                    bool config, struct wharf_error *e)
{
    struct push_item *grown;

    if (is_planned(plan, &d->digest))
        return 0;
    if (plan->blob_count >= PUSH_BLOBS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "'%s': more than %d blobs",
                       plan->push->reference, PUSH_BLOBS_MAX);
    grown = reallocarray(plan->blobs, plan->blob_count + 1, sizeof(*grown));
    if (!grown)
        return err_nomem(e);
    plan->blobs = grown;
    grown[plan->blob_count] = (struct push_item){ .d = *d, .config = config };
    snprintf(grown[plan->blob_count].label, IMAGE_DIGEST_MAX, "%s", label ? label : d->digest.text);
    plan->blob_count++;
    return 0;
}

/* The diff ids of a configuration, if it can be read: they name layers to people. */
static json_t *diff_ids(struct push *p, const struct descriptor *config)
{
    autojson json_t *tree = NULL;
    autofree char *text = NULL;
    size_t len;

    if (p->source->read(p->source, &config->digest, &text, &len, NULL) < 0 ||
        json_read(text, len, JSON_LIMITS, "", &tree, NULL) < 0)
        return NULL;
    return json_incref(json_object_get(json_object_get(tree, "rootfs"), "diff_ids"));
}

static int plan_manifest(struct push_plan *plan, const struct document *d, struct wharf_error *e)
{
    autojson json_t *labels = plan->push->reporter.tell ? diff_ids(plan->push, &d->config) : NULL;
    int r = add_blob(plan, &d->config, NULL, true, e);

    for (size_t i = 0; i < d->count && r == 0; i++) {
        const char *label = json_string_value(json_array_get(labels, i));

        r = add_blob(plan, &d->items[i], label && digest_valid(label) ? label : NULL, false, e);
    }
    return r;
}

static int add_manifest(struct push_plan *plan, struct document *d, char **text,
                        const struct digest *digest, struct wharf_error *e)
{
    size_t n = plan->manifest_count + 1;
    struct document *documents = reallocarray(plan->manifests, n, sizeof(*documents));
    char **texts = documents ? reallocarray(plan->texts, n, sizeof(*texts)) : NULL;
    struct digest *digests = texts ? reallocarray(plan->digests, n, sizeof(*digests)) : NULL;

    plan->manifests = documents ? documents : plan->manifests;
    plan->texts = texts ? texts : plan->texts;
    plan->digests = digests ? digests : plan->digests;
    if (!digests)
        return err_nomem(e);
    documents[n - 1] = *d;
    *d = (struct document){ 0 };
    texts[n - 1] = take_ptr(text);
    digests[n - 1] = *digest;
    plan->manifest_count = n;
    return 0;
}

static int plan_tree(struct push_plan *plan, const struct digest *digest, unsigned depth,
                     struct wharf_error *e)
{
    struct push *p = plan->push;
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    int r;

    if (depth >= IMAGE_INDEX_DEPTH_MAX)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "'%s': indexes nested deeper than %d",
                       p->reference, IMAGE_INDEX_DEPTH_MAX);
    r = p->source->read(p->source, digest, &text, &len, e);
    if (r == 0)
        r = document_parse(&d, text, len, digest->text, e);
    if (r == 0 && d.kind == DOCUMENT_MANIFEST)
        r = plan_manifest(plan, &d, e);
    for (size_t i = 0; r == 0 && i < d.count && d.kind == DOCUMENT_INDEX; i++)
        r = plan_tree(plan, &d.items[i].digest, depth + 1, e);
    return r < 0 ? r : add_manifest(plan, &d, &text, digest, e);
}

/* ---- blobs ---- */

static int push_item(struct push_plan *plan, struct remote *remote, size_t at,
                     struct wharf_error *e)
{
    struct push_item *item = &plan->blobs[at];

    return push_blob(plan->push, remote, &item->d, item->config ? NULL : item->label, e);
}

static void *work(void *arg)
{
    struct push_plan *plan = arg;
    autoremote struct remote remote = { 0 };
    struct wharf_error fault = { 0 };
    int r = remote_clone(&remote, &plan->push->remote, &fault);
    size_t at;

    while (r == 0 && atomic_load(&plan->result) == 0 &&
           (at = atomic_fetch_add(&plan->next, 1)) < plan->blob_count)
        r = push_item(plan, &remote, at, &fault);
    if (r == 0)
        return NULL;
    pthread_mutex_lock(&plan->lock);
    if (atomic_load(&plan->result) == 0) {
        atomic_store(&plan->result, r);
        if (plan->e)
            *plan->e = fault;
    }
    pthread_mutex_unlock(&plan->lock);
    return NULL;
}

static int push_blobs(struct push_plan *plan, struct wharf_error *e)
{
    pthread_t threads[PUSH_WORKERS];
    size_t count = 0, wanted = MIN(plan->blob_count, (size_t)PUSH_WORKERS);
    int r = plan->blob_count ? push_item(plan, &plan->push->remote, 0, e) : 0;

    if (r < 0)
        return r;
    atomic_store(&plan->next, 1);
    while (count + 1 < wanted && pthread_create(&threads[count], NULL, work, plan) == 0)
        count++;
    work(plan);
    while (count-- > 0)
        pthread_join(threads[count], NULL);
    return atomic_load(&plan->result);
}

/* ---- manifests ---- */

static int put_manifest(struct push *p, const char *as, const char *media_type, const char *text,
                        struct wharf_error *e)
{
    autoexchange struct exchange x = { 0 };
    char path[IMAGE_DIGEST_MAX + IMAGE_TAG_MAX + 16];
    int r;

    snprintf(path, sizeof(path), "manifests/%s", as);
    r = remote_open(&p->remote, &x, "PUT", path, HTTP_ERROR_BODY_MAX);
    if (r == 0)
        r = exchange_header(&x, "Content-Type: %s", media_type);
    if (r < 0)
        return err_code(e, r, "'%s'", p->reference);
    exchange_send(&x, text, strlen(text));
    r = remote_run(&p->remote, &x, p->reference, e);
    if (r == 0 && exchange_status(&x) != 201)
        r = err_wrap(e, exchange_error(&x, p->remote.host, "manifest", e), "'%s'", p->reference);
    return r;
}

static int conclude(struct push *p, const struct digest *digest, size_t size)
{
    autofree char *aux = str_format("{\"Tag\":\"%s\",\"Digest\":\"%s\",\"Size\":%zu}", p->ref.tag,
                                    digest->text, size);
    autofree char *status = str_format("%s: digest: %s size: %zu", p->ref.tag, digest->text, size);
    struct image_message line = { .status = status }, data = { .aux = aux };

    if (!aux || !status)
        return -ENOMEM;
    reporter_message(&p->reporter, &line, NULL);
    reporter_message(&p->reporter, &data, NULL);
    return 0;
}

static int announce(struct push_plan *plan, struct wharf_error *e)
{
    int r = 0;

    for (size_t i = plan->blob_count; i-- > 0 && r == 0;) {
        if (!plan->blobs[i].config)
            r = reporter_say(&plan->push->reporter, plan->blobs[i].label, "Preparing", 0, 0, e);
    }
    return r;
}

static int run(struct push_plan *plan, const struct digest *top, struct wharf_error *e)
{
    struct push *p = plan->push;
    int r = plan_tree(plan, top, 0, e);

    if (r == 0)
        r = announce(plan, e);
    if (r == 0)
        r = push_blobs(plan, e);
    for (size_t i = 0; i < plan->manifest_count && r == 0; i++) {
        bool tagged = i + 1 == plan->manifest_count && !p->ref.digest[0];

        r = put_manifest(p, tagged ? p->ref.tag : plan->digests[i].text,
                         plan->manifests[i].media_type, plan->texts[i], e);
    }
    if (r == 0)
        conclude(p, top, strlen(plan->texts[plan->manifest_count - 1]));
    return r;
}

int push_all(struct push *p, const struct digest *digest, struct wharf_error *e)
{
    struct push_plan plan = { .push = p, .e = e, .lock = PTHREAD_MUTEX_INITIALIZER };
    int r = run(&plan, digest, e);

    for (size_t i = 0; i < plan.manifest_count; i++) {
        document_done(&plan.manifests[i]);
        free(plan.texts[i]);
    }
    free(plan.manifests);
    free(plan.texts);
    free(plan.digests);
    free(plan.blobs);
    return r;
}

int push_init(struct push *p, const char *reference, const struct image_remote_options *options,
              struct wharf_error *e)
{
    autofree char *status = NULL;
    struct image_reference repository;
    char name[IMAGE_REFERENCE_MAX];
    int r = image_reference_parse(&p->ref, reference, e);

    if (r < 0)
        return r;
    p->reference = reference;
    if (options)
        memcpy(&p->options, options, MIN(options->size, sizeof(p->options)));
    p->reporter.progress = p->options.progress;
    p->reporter.arg = p->options.arg;
    p->reporter.tell = p->options.tell;
    p->reporter.tell_arg = p->options.tell_arg;
    pthread_mutex_init(&p->reporter.lock, NULL);
    repository = p->ref;
    repository.tag[0] = repository.digest[0] = 0;
    image_reference_format(&repository, 0, name);
    status = str_format("The push refers to repository [%s]", name);
    r = reporter_say(&p->reporter, NULL, status, 0, 0, e);
    return r < 0 ? r : remote_init(&p->remote, &p->ref, NULL, "pull,push", &p->options, e);
}

void push_done(struct push *p)
{
    if (!p->reference)
        return;
    remote_done(&p->remote);
    pthread_mutex_destroy(&p->reporter.lock);
}
