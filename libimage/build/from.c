/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where stages begin, and what --from names: an earlier stage, an image, a named context.
 *
 * Images are brought in one at a time (`image_lock`): two stages that begin with the same one pull
 * and unpack it once. Their layers are unpacked into the build's own intake and published with the
 * rest.
 */
#include <fcntl.h>
#include "base/str.h"
#include "libimage/build/work.h"
#include "libimage/layer.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int pull_progress(const struct image_progress *p, void *arg)
{
    struct job *job = arg;

    job_tell(job, (struct build_event){ .type = BUILD_EVENT_STATUS,
                                        .text = p->what,
                                        .done = p->done,
                                        .total_bytes = p->total });
    return job_check(job, NULL) < 0;
}

static int pull(struct job *job, const char *name, const char *platform, struct wharf_error *e)
{
    const struct build_fetcher *f = job->o.fetcher;
    struct image_reference ref;
    char text[IMAGE_REFERENCE_MAX];

    if (f && f->pull)
        return f->pull(f->self, job->store, name, platform, pull_progress, job, e);
    if (image_reference_parse(&ref, name, NULL) == 0) {
        image_reference_format(&ref, 1, text);
        name = text;
    }
    return err_not_found(e, "No such image: %.300s (and this program cannot pull it)", name);
}

static int check_platform(const struct image *image, const char *name, const char *platform,
                          struct wharf_error *e)
{
    const struct image_info *info = image_info(image);
    const char *slash = platform ? strchr(platform, '/') : NULL;
    const char *want = slash ? slash + 1 : platform;
    size_t n = want ? strcspn(want, "/") : 0;

    if (!want || !*want || !*info->architecture ||
        (strlen(info->architecture) == n && strncmp(info->architecture, want, n) == 0))
        return 0;
    return err_unsupported(e,
                           "image with reference %.150s was found but does not match the specified "
                           "platform: wanted %.50s, actual: %s/%s",
                           name, platform, *info->os ? info->os : "linux", info->architecture);
}

int job_image(struct job *job, const char *name, const char *platform, struct image **ret,
              struct wharf_error *e)
{
    struct reporter reporter = { .lock = PTHREAD_MUTEX_INITIALIZER };
    auto_of(image_free) struct image *image = NULL;
    struct wharf_error none = { 0 };
    int r = -ENOENT;

    pthread_mutex_lock(&job->image_lock);
    if (!job->o.pull || json_object_get(job->pulled, name))
        r = image_open(job->store, name, &image, &none);
    if (r == -ENOENT) {
        r = pull(job, name, platform, e);
        if (r == 0)
            r = image_open(job->store, name, &image, e);
        if (r == 0)
            json_object_set_new(job->pulled, name, json_true());
    } else if (r < 0 && e) {
        *e = none;
    }
    if (r == 0)
        r = check_platform(image, name, platform, e);
    if (r == 0)
        r = layers_unpack(&job->intake, image, &reporter, e);
    pthread_mutex_unlock(&job->image_lock);
    if (r < 0)
        return r;
    *ret = take_ptr(&image);
    return 0;
}

int image_layers(const struct image *image, struct layer_stack *ret, struct wharf_error *e)
{
    struct layer_stack s = { 0 };
    int r = 0;

    for (size_t i = 0; i < image->info.layer_count && r == 0; i++) {
        struct layer_ref layer = { .diff = image->diffs[i],
                                   .chain = image->chains[i],
                                   .blob = image->blobs[i],
                                   .size = image->info.layer_sizes[i] };

        snprintf(layer.media_type, sizeof(layer.media_type), "%s",
                 image->info.layer_media_types[i]);
        r = layer_stack_push(&s, &layer, e);
    }
    if (r < 0)
        layer_stack_done(&s);
    else
        *ret = s;
    return r;
}

/* ---- the state that a stage begins with ------------------------------------------------------ */

static int begin(struct state *st, const char *trail, struct wharf_error *e)
{
    struct key k;

    if (!st->image)
        st->image = json_object();
    if (!st->config)
        st->config = json_object();
    if (!st->history)
        st->history = json_array();
    key_begin(&k, "FROM");
    key_add(&k, trail);
    key_end(&k, st->trail);
    return st->image && st->config && st->history ? 0 : err_nomem(e);
}

/* Members that say how an image was made are not those of its children. */
static void drop_origin(json_t *image)
{
    static const char *const gone[] = { "config",          "history",        "rootfs",
                                        "created",         "container",      "id",
                                        "parent",          "docker_version", "comment",
                                        "container_config" };

    for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
        json_object_del(image, gone[i]);
}

static int state_of_image(struct state *st, const struct image *image, struct wharf_error *e)
{
    struct json_limits limits = { .size = IMAGE_DOCUMENT_MAX, .depth = 64, .fold_case = true };
    autojson json_t *top = NULL;
    json_t *part;
    int r = json_read(image->config, image->config_len, limits, "image", &top, e);

    if (r == 0)
        r = image_layers(image, &st->layers, e);
    if (r < 0)
        return r;
    part = json_object_get(top, "config");
    st->config = json_is_object(part) ? json_deep_copy(part) : json_object();
    part = json_object_get(top, "history");
    st->history = json_is_array(part) ? json_deep_copy(part) : json_array();
    st->image = json_deep_copy(top);
    drop_origin(st->image);
    snprintf(st->created, sizeof(st->created), "%s", image->info.created);
    snprintf(st->id, sizeof(st->id), "%s", image->id.text);
    /* what earlier builders left of the container that they used */
    json_object_del(st->config, "Image");
    return begin(st, image->id.text, e);
}

static int state_of_nothing(struct state *st, struct wharf_error *e)
{
    st->image = json_pack("{s:s, s:s}", "architecture", platform_architecture(), "os", "linux");
    snprintf(st->created, sizeof(st->created), "1970-01-01T00:00:00Z");
    return begin(st, "scratch", e);
}

static int begin_state(struct stage_work *s, struct wharf_error *e)
{
    struct job *job = s->job;
    const char *named = job_context_value(job, s->base);
    const char *base = named ? str_after(named, "docker-image://") : s->base;
    auto_of(image_free) struct image *image = NULL;
    int stage = named ? -1 : job_find_stage(job, s->base, s->index), r;

    if (!base)
        return err_unsupported(e, "FROM '%.100s': a directory cannot be the base of a stage",
                               s->base);
    if (stage >= 0) {
        r = job_wait(job, (size_t)stage, e);
        return r < 0 ? r : state_copy(&job->stages[stage].state, &s->state, e);
    }
    if (streq(base, "scratch"))
        return state_of_nothing(&s->state, e);
    r = job_image(job, base, s->platform, &image, e);
    return r < 0 ? r : state_of_image(&s->state, image, e);
}

int stage_from(struct stage_work *s, struct wharf_error *e)
{
    int r = begin_state(s, e);
    json_t *env;

    if (r < 0)
        return r;
    s->state.cmd_set = false;
    env = json_object_get(s->state.config, "Env");
    if (!json_is_array(env)) {
        json_object_set_new(s->state.config, "Env", json_array());
        env = json_object_get(s->state.config, "Env");
    }
    if (!env_get(env, "PATH", 4) && env_set(env, "PATH", DEFAULT_PATH) < 0)
        return err_nomem(e);
    return 0;
}

/* ---- --from ---------------------------------------------------------------------------------- */

const char *job_context_value(const struct job *job, const char *name)
{
    for (const struct build_pair *p = job->o.contexts; p && p->key; p++) {
        if (streq(p->key, name) && p->value)
            return p->value;
    }
    return NULL;
}

int stage_source(struct stage_work *s, const char *from, struct layer_stack *ret, int *ret_dir,
                 struct wharf_error *e)
{
    struct job *job = s->job;
    const char *named = job_context_value(job, from);
    const char *name = named ? str_after(named, "docker-image://") : from;
    auto_of(image_free) struct image *image = NULL;
    int stage = named ? -1 : job_find_stage(job, from, s->index), r;

    if (!name) {
        r = open(named, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (r < 0)
            return err_sys(e, "cannot open the build context '%.200s'", named);
        *ret_dir = r;
        return 0;
    }
    if (stage >= 0) {
        r = job_wait(job, (size_t)stage, e);
        return r < 0 ? r : layer_stack_copy(&job->stages[stage].state.layers, ret, e);
    }
    if (s->source->name && streq(from, s->source->name))
        return err_invalid(e, "invalid from flag value %.100s: refers to current build block",
                           from);
    if (streq(from, "scratch")) {
        *ret = (struct layer_stack){ 0 };
        return 0;
    }
    r = job_image(job, from == name ? from : name, NULL, &image, e);
    if (r < 0)
        return err_wrap(e, r, "invalid from flag value %.100s", from);
    return image_layers(image, ret, e);
}
