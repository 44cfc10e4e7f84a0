/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading. Whatever the form, three steps: members are read once and become blobs of the intake
 * (members.c); the form is told from what was found, and gives a list of {manifest, names}; each
 * image is opened, unpacked and checked, all is published, then index.json names it.
 *
 * An OCI index beats `manifest.json`: the new form of `docker save` has both, and only the former
 * keeps the manifest's digest. The old form gets a manifest written here; its image id, the digest
 * of the configuration, is kept by both.
 */
#include "libimage/load.h"
#include "libimage/resolve.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>

void load_done(struct load *l)
{
    for (size_t i = 0; i < l->count; i++)
        strv_free(l->found[i].names);
    free(l->found);
    members_done(&l->members);
    intake_end(&l->in);
    pthread_mutex_destroy(&l->reporter.lock);
}

static int add_found(struct load *l, const char *media_type, const struct digest *digest,
                     int64_t size, struct wharf_error *e)
{
    struct found *grown = reallocarray(l->found, l->count + 1, sizeof(*grown));

    if (!grown)
        return err_nomem(e);
    l->found = grown;
    grown[l->count] = (struct found){ .digest = *digest, .size = size };
    snprintf(grown[l->count].media_type, sizeof(grown[0].media_type), "%s", media_type);
    l->count++;
    return 0;
}

static int add_name(struct found *f, const char *text, const char *what, struct wharf_error *e)
{
    struct image_reference ref;
    char name[IMAGE_REFERENCE_MAX];
    int r = image_reference_parse(&ref, text, e);

    if (r < 0)
        return err_wrap(e, r, "%s", what);
    if (ref.digest[0])
        return err_invalid(e, "%s: name '%.200s' carries a digest", what, text);
    image_reference_format(&ref, 0, name);
    return strv_add(&f->names, name) < 0 ? err_nomem(e) : 0;
}

/* ---- OCI layouts ---- */

/* A blob that a document refers to must be there, with the right size. */
static int want(struct load *l, const struct descriptor *d, bool optional, struct wharf_error *e)
{
    int r = members_fetch(&l->members, &l->in, d, e);
    autoclose int fd = -1;
    struct stat st;

    if (r == -ENOENT && optional)
        return -ENOENT;
    if (r < 0)
        return r;
    fd = store_open_blob(l->in.store, l->in.dir, &d->digest);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_invalid(e, "'%s': blob '%s' is missing", l->what, d->digest.text);
    if (st.st_size != d->size)
        return err_set(e, -EBADMSG, WHARF_ERROR_CORRUPT, "'%s': blob '%s' has %lld bytes, not %lld",
                       l->what, d->digest.text, (long long)st.st_size, (long long)d->size);
    return intake_want_blob(&l->in, &d->digest) < 0 ? err_nomem(e) : 0;
}

/* Everything below a manifest or index. Children of an index may be missing: other platforms. */
static int want_tree(struct load *l, const struct descriptor *top, unsigned depth,
                     struct wharf_error *e)
{
    autodocument struct document d = { 0 };
    autofree char *text = NULL;
    size_t len;
    int r;

    if (depth >= IMAGE_INDEX_DEPTH_MAX)
        return err_set(e, -EINVAL, WHARF_ERROR_LIMIT, "'%s': indexes nested deeper than %d",
                       l->what, IMAGE_INDEX_DEPTH_MAX);
    r = want(l, top, depth > 0, e);
    if (r < 0)
        return r == -ENOENT && depth > 0 ? 0 : r;
    r = store_read_blob(l->in.store, l->in.dir, &top->digest, IMAGE_DOCUMENT_MAX, &text, &len, e);
    if (r == 0)
        r = document_parse(&d, text, len, top->digest.text, e);
    if (r < 0)
        return r;
    if (d.kind == DOCUMENT_INDEX ? media_is_manifest(top->media_type)
                                 : media_is_index(top->media_type))
        return err_invalid(e, "'%s': blob '%s' is not the '%s' that its descriptor says", l->what,
                           top->digest.text, top->media_type);
    if (d.kind == DOCUMENT_MANIFEST)
        r = want(l, &d.config, false, e);
    for (size_t i = 0; i < d.count && r == 0; i++) {
        if (d.kind == DOCUMENT_MANIFEST)
            r = want(l, &d.items[i], false, e);
        else if (media_is_index(d.items[i].media_type) || media_is_manifest(d.items[i].media_type))
            r = want_tree(l, &d.items[i], depth + 1, e);
    }
    return r;
}

/* A full name, or a bare tag: see image_load_options.repository. */
static int name_of(struct load *l, const struct descriptor *d, struct found *f,
                   struct wharf_error *e)
{
    const char *text = *d->image_name ? d->image_name : d->ref_name;
    autofree char *joined = NULL;

    if (!*text)
        return 0;
    if (!strpbrk(text, ":/") && l->options.repository) {
        joined = str_format("%s:%s", l->options.repository, text);
        if (!joined)
            return err_nomem(e);
        text = joined;
    }
    return add_name(f, text, l->what, e);
}

static int load_oci(struct load *l, struct wharf_error *e)
{
    autodocument struct document index = { 0 };
    int r = document_parse(&index, l->members.index.data, l->members.index.len, "index.json", e);

    if (r == 0 && index.kind != DOCUMENT_INDEX)
        r = err_invalid(e, "'%s': index.json is not an index", l->what);
    for (size_t i = 0; i < index.count && r == 0; i++) {
        struct descriptor *d = &index.items[i];

        if (!media_is_index(d->media_type) && !media_is_manifest(d->media_type))
            continue; /* something else that a layout may hold */
        r = want_tree(l, d, 0, e);
        if (r == 0)
            r = add_found(l, d->media_type, &d->digest, d->size, e);
        if (r == 0)
            r = name_of(l, d, &l->found[l->count - 1], e);
    }
    return r < 0 ? err_wrap(e, r, "'%s'", l->what) : 0;
}

/* ---- docker save, the old form ---- */

static const char *layer_type(struct load *l, const struct digest *d)
{
    autoclose int fd = store_open_blob(l->in.store, l->in.dir, d);
    unsigned char magic[4] = { 0 };

    if (fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic)) {
        if (magic[0] == 0x1f && magic[1] == 0x8b)
            return MEDIA_LAYER "+gzip";
        if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
            return MEDIA_LAYER "+zstd";
    }
    return MEDIA_LAYER;
}

/* The descriptor of a member, whose blob is wanted from now on. */
static json_t *describe(struct load *l, json_t *name, const char *type, struct wharf_error *e)
{
    const char *text = json_string_value(name);
    struct digest digest;
    int64_t size;
    int r;

    if (!text) {
        err_invalid(e, "'%s': manifest.json: a member's name is not a string", l->what);
        return NULL;
    }
    r = members_find(&l->members, text, &digest, &size, e);
    if (r < 0)
        return NULL;
    if (intake_want_blob(&l->in, &digest) < 0) {
        err_nomem(e);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:I}", "mediaType", type ? type : layer_type(l, &digest), "digest",
                     digest.text, "size", (json_int_t)size);
}

/* Writes the manifest that the old form lacks. */
static int write_manifest(struct load *l, json_t *item, struct wharf_error *e)
{
    struct wharf_error fault = { 0 };
    autojson json_t *layers = json_array(), *config = NULL, *manifest = NULL;
    autofree char *text = NULL;
    struct digest digest;
    json_t *name;
    size_t i;
    int r;

    config = describe(l, json_object_get(item, "Config"), MEDIA_CONFIG, &fault);
    json_array_foreach (json_object_get(item, "Layers"), i, name) {
        json_t *layer = config ? describe(l, name, NULL, &fault) : NULL;

        if (!layer || json_array_append_new(layers, layer) < 0)
            break;
    }
    if (fault.code) {
        if (e)
            *e = fault;
        return -fault.code;
    }
    manifest = json_pack("{s:i, s:s, s:O, s:O}", "schemaVersion", 2, "mediaType", MEDIA_MANIFEST,
                         "config", config, "layers", layers);
    text = manifest ? json_dumps(manifest, JSON_COMPACT) : NULL;
    if (!text)
        return err_nomem(e);
    r = intake_add_blob(&l->in, text, strlen(text), &digest, e);
    return r < 0 ? r : add_found(l, MEDIA_MANIFEST, &digest, (int64_t)strlen(text), e);
}

static int load_docker(struct load *l, struct wharf_error *e)
{
    struct json_limits limits = { .size = IMAGE_DOCUMENT_MAX, .depth = 16, .fold_case = true };
    autojson json_t *list = NULL;
    json_t *item, *tag;
    size_t i, t;
    int r = json_read(l->members.manifest.data, l->members.manifest.len, limits, "manifest.json",
                      &list, e);

    if (r == 0 && !json_is_array(list))
        r = err_invalid(e, "'%s': manifest.json is not a list", l->what);
    json_array_foreach (list, i, item) {
        if (r == 0 && !json_is_array(json_object_get(item, "Layers")))
            r = err_invalid(e, "'%s': manifest.json: 'Layers' is not a list", l->what);
        if (r == 0)
            r = write_manifest(l, item, e);
        if (r < 0)
            return r;
        json_array_foreach (json_object_get(item, "RepoTags"), t, tag) {
            const char *text = json_string_value(tag);

            if (r == 0)
                r = add_name(&l->found[l->count - 1], text ? text : "", l->what, e);
        }
    }
    return r;
}

/* ---- all forms ---- */

static int tell_form(struct load *l, struct wharf_error *e)
{
    int r;

    if (l->members.index.len)
        r = load_oci(l, e);
    else if (l->members.manifest.len)
        r = load_docker(l, e);
    else if (l->members.repositories)
        return err_unsupported(e,
                               "'%s': an archive of docker before 1.10, without manifest.json; "
                               "save the image anew",
                               l->what);
    else
        return err_invalid(e,
                           "'%s': not an image: it has neither index.json nor manifest.json "
                           "(a root file system is imported)",
                           l->what);
    if (r == 0 && l->count == 0)
        r = err_invalid(e, "'%s': holds no image", l->what);
    return r;
}

static int check_images(struct load *l, struct wharf_error *e)
{
    for (size_t i = 0; i < l->count; i++) {
        auto_of(image_free) struct image *image = NULL;
        int r = opened_read(l->in.store, l->in.dir, &l->found[i].digest, &image, e);

        if (r == 0 && !l->options.keep_packed)
            r = layers_unpack(&l->in, image, &l->reporter, e);
        if (r < 0)
            return err_wrap(e, r, "'%s'", l->what);
    }
    return 0;
}

static int name_images(struct load *l, struct wharf_error *e)
{
    autoindex struct index_edit x = { 0 };
    int r = index_begin(&x, l->in.store, e);

    for (size_t i = 0; i < l->count && r == 0; i++) {
        struct found *f = &l->found[i];

        if (!f->names)
            r = index_put(&x, f->media_type, &f->digest, f->size, NULL);
        for (char **n = f->names; n && *n && r == 0; n++)
            r = index_put(&x, f->media_type, &f->digest, f->size, *n);
        if (r < 0)
            return err_nomem(e);
    }
    return r < 0 ? r : index_commit(&x, e);
}

/* A line a name, in docker's words. It is too late to cancel. */
static void say_loaded(struct load *l, const struct image *image)
{
    char *const *names = image->info.names;
    autofree char *line = names[0] ? NULL : str_format("Loaded image ID: %s\n", image->id.text);
    struct image_message m = { .stream = line };

    if (line)
        reporter_message(&l->reporter, &m, NULL);
    for (; *names; names++) {
        autofree char *named = NULL;
        struct image_reference ref;
        char familiar[IMAGE_REFERENCE_MAX];

        if (image_reference_parse(&ref, *names, NULL) < 0)
            continue;
        image_reference_format(&ref, 1, familiar);
        m.stream = named = str_format("Loaded image: %s\n", familiar);
        reporter_message(&l->reporter, &m, NULL);
    }
}

static void tell_loaded(struct load *l)
{
    for (size_t i = 0; i < l->count && (l->options.loaded || l->options.tell); i++) {
        auto_of(image_free) struct image *image = NULL;

        if (opened_read(l->in.store, -1, &l->found[i].digest, &image, NULL) < 0 ||
            opened_set_names(image, l->found[i].names) < 0)
            continue;
        if (l->options.loaded)
            l->options.loaded(image, l->options.arg);
        say_loaded(l, image);
    }
}

static int load(struct load *l, int fd, struct wharf_error *e)
{
    int r = members_read(&l->members, &l->in, fd, l->what, &l->reporter, e);

    if (r == 0)
        r = tell_form(l, e);
    if (r == 0)
        r = check_images(l, e);
    if (r == 0)
        r = reporter_tell(&l->reporter, IMAGE_STEP_COMMIT, l->what, 0, -1, e);
    if (r == 0)
        r = intake_publish(&l->in, e);
    if (r == 0)
        r = name_images(l, e);
    if (r < 0)
        return r;
    tell_loaded(l);
    return (int)l->count;
}

static int load_as(struct image_store *store, int fd, const char *what,
                   const struct image_load_options *options, struct wharf_error *e)
{
    struct load l = { .what = what, .members.dir = -1 };
    int r;

    if (options)
        memcpy(&l.options, options, MIN(options->size, sizeof(l.options)));
    l.reporter.progress = l.options.progress;
    l.reporter.arg = l.options.arg;
    l.reporter.tell = l.options.tell;
    l.reporter.tell_arg = l.options.tell_arg;
    l.reporter.unpacking = l.options.tell && !l.options.quiet ? "Loading layer" : NULL;
    pthread_mutex_init(&l.reporter.lock, NULL);
    r = intake_begin(&l.in, store, e);
    if (r == 0)
        r = load(&l, fd, e);
    load_done(&l);
    return r;
}

int image_load(struct image_store *store, int fd, const struct image_load_options *options,
               struct wharf_error *e)
{
    return load_as(store, fd, "image archive", options, e);
}

int image_load_path(struct image_store *store, const char *path,
                    const struct image_load_options *options, struct wharf_error *e)
{
    autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(e, "cannot open '%s'", path);
    return load_as(store, fd, path, options, e);
}
