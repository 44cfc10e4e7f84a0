/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build as a whole: options, plan, threads, end.
 *
 * Concurrency. Threads take needed stages in the order of the file. An instruction that needs
 * another stage waits for it on `changed`; a stage needs only earlier ones, which have all been
 * taken before it, so the earliest unfinished stage never waits and nobody waits for ever. The
 * first failure is the build's: it sets `failed`, which every job_check sees.
 */
#include "libimage/build/build.h"

#include <sys/file.h>
#include "base/fd.h"
#include "base/str.h"
#include "libimage/build/context.h"
#include "libimage/build/work.h"

/* ---- telling and asking ---------------------------------------------------------------------- */

void job_tell(struct job *job, struct build_event event)
{
    if (!job->o.event)
        return;
    if (event.stage < job->stage_count && job->stages[event.stage].source->name)
        event.stage_name = job->stages[event.stage].source->name;
    else
        event.stage_name = "";
    event.total = job->total;
    pthread_mutex_lock(&job->event_lock);
    job->o.event(&event, job->o.arg);
    pthread_mutex_unlock(&job->event_lock);
}

int job_check(struct job *job, struct wharf_error *e)
{
    bool failed = __atomic_load_n(&job->failed, __ATOMIC_RELAXED);

    if (!failed && (!job->o.cancelled || !job->o.cancelled(job->o.arg)))
        return 0;
    return err_set(e, -ECANCELED, WHARF_ERROR_CONFLICT, "the build was cancelled");
}

int job_wait(struct job *job, size_t stage, struct wharf_error *e)
{
    bool done;

    pthread_mutex_lock(&job->lock);
    while (!job->stages[stage].done && !job->failed)
        pthread_cond_wait(&job->changed, &job->lock);
    done = job->stages[stage].done;
    pthread_mutex_unlock(&job->lock);
    return done ? 0 : err_set(e, -ECANCELED, WHARF_ERROR_CONFLICT, "the build was cancelled");
}

int job_find_stage(const struct job *job, const char *name, size_t before)
{
    uint64_t number;

    for (size_t i = before; i-- > 0;) {
        const char *have = job->file.stages.items[i].name;

        if (have && strcasecmp(have, name) == 0)
            return (int)i;
    }
    if (parse_u64(name, 0, DOCKERFILE_STAGES_MAX, &number) == 0 && number < before)
        return (int)number;
    return -1;
}

/* ---- one stage ------------------------------------------------------------------------------- */

static const char *image_id(struct stage_work *s, char text[IMAGE_DIGEST_MAX])
{
    struct digest id;
    autofree char *config = NULL;

    if (s->state.id[0])
        return s->state.id;
    config = state_config_text(&s->state);
    if (!config || digest_of(config, strlen(config), &id) < 0)
        return "";
    snprintf(text, IMAGE_DIGEST_MAX, "%s", id.text);
    return text;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static struct build_event step_event(const struct stage_work *s, enum build_event_type type)
{
    return (struct build_event){
        .type = type, .number = s->step, .stage = s->index, .first = s->at.first, .last = s->at.last
    };
}

/* When it was made: now, or when the same was made before. */
static int take_time(struct stage_work *s, struct outcome *o, char created[40],
                     struct wharf_error *e)
{
    struct timespec now = { s->job->epoch, 0 };
    struct tm tm;
    struct key k;
    size_t n;
    int r;

    if (s->job->epoch < 0)
        clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(created, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    if (s->job->epoch < 0)
        n += (size_t)snprintf(created + n, 40 - n, ".%09ld", now.tv_nsec);
    snprintf(created + n, 40 - n, "Z");
    key_begin(&k, "time");
    key_add(&k, s->state.trail);
    key_add(&k, o->text);
    key_add(&k, o->files && !o->record.empty ? o->record.layer.chain.text : NULL);
    key_end(&k, s->state.trail);
    if (s->job->epoch >= 0)
        return 0;
    r = cache_time(s->job, s->state.trail, created, e);
    if (!o->files)
        o->cached = r > 0;
    return MIN(r, 0);
}

/* dockerd makes a container for whatever is not cached, and says so; ours are made for RUN alone,
 * which tells of its own, and copying needs none there either. */
static void tell_place(struct stage_work *s, const struct instruction *i, const struct outcome *o)
{
    struct build_event event = step_event(s, BUILD_EVENT_CACHED);
    char id[PLACE_ID_MAX];

    if (!s->job->o.classic || i->kind == INSTRUCTION_RUN || i->kind == INSTRUCTION_COPY ||
        i->kind == INSTRUCTION_ADD)
        return;
    if (!o->cached) {
        place_id(id);
        event.id = id;
        event.type = BUILD_EVENT_RUNNING;
        job_tell(s->job, event);
        event.type = BUILD_EVENT_REMOVED;
    }
    if (!o->cached || !o->files)
        job_tell(s->job, event);
}

static int record_outcome(struct stage_work *s, struct outcome *o, struct wharf_error *e)
{
    bool layer = o->files && !o->record.empty;
    char created[40];
    json_t *entry;
    int r = take_time(s, o, created, e);

    if (r == 0 && layer)
        r = layer_stack_push(&s->state.layers, &o->record.layer, e);
    if (r < 0)
        return r;
    entry = json_pack("{s:s, s:s}", "created", created, "created_by", o->text);
    if (!entry)
        return err_invalid(e, "the instruction is not UTF-8");
    if (!layer)
        json_object_set_new(entry, "empty_layer", json_true());
    if (!s->job->o.classic)
        json_object_set_new(entry, "comment", json_string("wharf build"));
    if (json_array_append_new(s->state.history, entry) < 0)
        return err_nomem(e);
    snprintf(s->state.created, sizeof(s->state.created), "%s", created);
    s->state.id[0] = 0;
    return 0;
}

static int dispatch(struct stage_work *s, const struct instruction *i, struct outcome *o,
                    struct wharf_error *e)
{
    switch (i->kind) {
    case INSTRUCTION_RUN:
        return stage_run(s, i, o, e);
    case INSTRUCTION_COPY:
    case INSTRUCTION_ADD:
        return stage_copy(s, i, o, e);
    case INSTRUCTION_WORKDIR:
        return stage_workdir(s, i, o, e);
    default:
        return stage_configure(s, i, o, e);
    }
}

static int do_step(struct stage_work *s, const struct instruction *i, bool told,
                   struct wharf_error *e)
{
    struct build_event event;
    struct outcome o = { 0 };
    char id[IMAGE_DIGEST_MAX];
    int64_t start = now_ns();
    int r = job_check(s->job, e);

    if (r < 0)
        return r;
    s->at = i->at;
    event = step_event(s, BUILD_EVENT_STEP);
    event.text = i->text;
    if (!told)
        job_tell(s->job, event);
    r = dispatch(s, i, &o, e);
    if (r < 0)
        return r;
    if (o.files && o.cached)
        job_tell(s->job, step_event(s, BUILD_EVENT_CACHED));
    r = record_outcome(s, &o, e);
    if (r < 0)
        return r;
    tell_place(s, i, &o);
    if (told && s->job->o.classic)
        return 0;
    event = step_event(s, BUILD_EVENT_DONE);
    event.id = s->job->o.event ? image_id(s, id) : "";
    event.ns = now_ns() - start;
    job_tell(s->job, event);
    return 0;
}

/* ONBUILD of the base, right behind FROM. */
static int do_triggers(struct stage_work *s, struct wharf_error *e)
{
    json_t *list = json_object_get(s->state.config, "OnBuild"), *item;
    autojson json_t *triggers = json_incref(list);
    struct build_event event;
    size_t n;
    int r = 0;

    if (json_array_size(list) == 0)
        return 0;
    if (json_array_size(list) > BUILD_TRIGGERS_MAX)
        return err_set(e, -EFBIG, WHARF_ERROR_LIMIT, "more than %d build triggers",
                       BUILD_TRIGGERS_MAX);
    json_object_del(s->state.config, "OnBuild");
    event = step_event(s, BUILD_EVENT_TRIGGERS);
    event.done = (int64_t)json_array_size(triggers);
    job_tell(s->job, event);
    json_array_foreach (triggers, n, item) {
        instructions body = { 0 };

        r = trigger_parse(json_string_value(item) ? json_string_value(item) : "", s->arena, &body,
                          e);
        for (size_t k = 0; k < body.count && r == 0; k++) {
            body.items[k].at = s->source->from.at;
            r = do_step(s, &body.items[k], true, e);
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* Triggers come before dockerd says that FROM is done, and without a word of each one. */
static int end_from(struct stage_work *s, struct build_event done, struct wharf_error *e)
{
    bool classic = s->job->o.classic;
    char id[IMAGE_DIGEST_MAX];
    int r = classic ? do_triggers(s, e) : 0;

    if (r < 0)
        return r;
    done.id = streq(s->base, "scratch") && !s->state.id[0] && s->state.layers.count == 0
                  ? ""
                  : image_id(s, id);
    job_tell(s->job, done);
    return classic ? 0 : do_triggers(s, e);
}

static int do_from(struct stage_work *s, struct wharf_error *e)
{
    struct build_event event;
    int64_t start = now_ns();
    int r = job_check(s->job, e);

    s->at = s->source->from.at;
    event = step_event(s, BUILD_EVENT_STEP);
    event.text = s->source->from.text;
    job_tell(s->job, event);
    if (r == 0)
        r = stage_from(s, e);
    if (r < 0)
        return r;
    event = step_event(s, BUILD_EVENT_DONE);
    event.ns = now_ns() - start;
    return end_from(s, event, e);
}

/* --label: an instruction at the end of the target. */
static int do_labels(struct stage_work *s, struct wharf_error *e)
{
    struct instruction i = { .kind = INSTRUCTION_LABEL, .text = "LABEL" };
    field_strings words = { 0 };
    autobuf struct buf shown = BUF(DOCKERFILE_MAX);

    for (const struct build_pair *p = s->job->o.labels; p && p->key; p++) {
        char **key = LIST_ADD(s->arena, &words, 65536);
        char **value = key ? LIST_ADD(s->arena, &words, 65536) : NULL;

        if (!value)
            return err_nomem(e);
        words.items[words.count - 2] = (char *)(uintptr_t)p->key;
        words.items[words.count - 1] = (char *)(uintptr_t)(p->value ? p->value : "");
        buf_printf(&shown, " %s=%s", p->key, p->value ? p->value : "");
    }
    if (words.count == 0)
        return 0;
    i.literal = true;
    i.args = words.items;
    i.count = words.count;
    i.at = s->at;
    i.text = arena_format(s->arena, "LABEL%s", shown.data ? shown.data : "");
    s->step++;
    return i.text ? do_step(s, &i, false, e) : err_nomem(e);
}

static void do_stage(struct stage_work *s)
{
    struct job *job = s->job;
    struct build_event event;
    char id[IMAGE_DIGEST_MAX];
    int r = do_from(s, &s->e);

    for (size_t n = 0; n < s->source->body.count && r == 0; n++) {
        s->step++;
        r = do_step(s, &s->source->body.items[n], false, &s->e);
    }
    if (r == 0 && s->index == job->target)
        r = do_labels(s, &s->e);
    if (r == 0) {
        event = step_event(s, BUILD_EVENT_STAGE);
        event.id = job->o.event ? image_id(s, id) : "";
        job_tell(job, event);
    }
    pthread_mutex_lock(&job->lock);
    s->result = r;
    s->done = r == 0;
    if (r < 0 && !job->failed) {
        __atomic_store_n(&job->failed, true, __ATOMIC_RELAXED);
        job->faulty = s;
    }
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    struct job *job = arg;

    for (;;) {
        struct stage_work *s = NULL;

        pthread_mutex_lock(&job->lock);
        while (job->next < job->stage_count && !s) {
            if (job->stages[job->next].needed && !job->failed)
                s = &job->stages[job->next];
            job->next++;
        }
        pthread_mutex_unlock(&job->lock);
        if (!s)
            return NULL;
        do_stage(s);
    }
}

static int run_stages(struct job *job, size_t needed, struct wharf_error *e)
{
    size_t hands = job->o.sequential ? 1 : MIN(needed, (size_t)BUILD_THREADS_MAX), started = 0;
    pthread_t threads[BUILD_THREADS_MAX];

    while (started < hands && pthread_create(&threads[started], NULL, work, job) == 0)
        started++;
    if (started == 0)
        return err_nomem(e);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    if (!job->faulty)
        return job->stages[job->target].done
                   ? 0
                   : err_set(e, -ECANCELED, WHARF_ERROR_CONFLICT, "the build was cancelled");
    if (e)
        *e = job->faulty->e;
    return job->faulty->result;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static int find_target(struct job *job, struct wharf_error *e)
{
    const char *name = job->o.target;
    int at;

    job->target = job->stage_count - 1;
    if (!name || !*name)
        return 0;
    at = job_find_stage(job, name, job->stage_count);
    if (at < 0)
        return err_invalid(e, "failed to reach build target %.100s in Dockerfile", name);
    job->target = (size_t)at;
    return 0;
}

static void need(struct job *job, size_t stage);

static void need_named(struct job *job, const char *name, size_t before)
{
    int at = name && !job_context_value(job, name) ? job_find_stage(job, name, before) : -1;

    if (at >= 0)
        need(job, (size_t)at);
}

/* `from=` of a --mount, as far as it stands there without a variable. */
static void need_mount(struct job *job, const char *mount, size_t before)
{
    const char *p = strstr(mount, "from=");
    autofree char *name = p ? strndup(p + 5, strcspn(p + 5, ",")) : NULL;

    need_named(job, name, before);
}

static void need(struct job *job, size_t stage)
{
    struct stage_work *s = &job->stages[stage];

    if (s->needed)
        return;
    s->needed = true;
    need_named(job, s->base, stage);
    for (size_t i = 0; i < s->source->body.count; i++) {
        const struct instruction *x = &s->source->body.items[i];

        need_named(job, x->flags.from, stage);
        for (size_t n = 0; n < x->flags.mounts.count; n++)
            need_mount(job, x->flags.mounts.items[n], stage);
    }
}

static int prepare_stage(struct job *job, size_t index, struct wharf_error *e)
{
    struct stage_work *s = &job->stages[index];
    const struct stage *source = &job->file.stages.items[index];
    int r;

    s->job = job;
    s->source = source;
    s->index = index;
    s->arena = arena_new(BUILD_ARENA_MAX);
    if (!s->arena)
        return err_nomem(e);
    r = global_expand(job, source->base, &s->base, e);
    s->platform = job->o.platform;
    if (r == 0 && source->from.flags.platform)
        r = global_expand(job, source->from.flags.platform, &s->platform, e);
    if (r == 0 && !*s->base)
        r = err_invalid(e, "base name (%.100s) should not be blank", source->base);
    if (r < 0)
        job->fault = source->from.at;
    return r;
}

static int plan(struct job *job, size_t *ret_needed, struct wharf_error *e)
{
    size_t needed = 0;
    int r = 0;

    job->stage_count = job->file.stages.count;
    job->stages = calloc(job->stage_count, sizeof(*job->stages));
    if (!job->stages)
        return err_nomem(e);
    for (size_t i = 0; i < job->stage_count && r == 0; i++)
        r = prepare_stage(job, i, e);
    if (r == 0)
        r = find_target(job, e);
    if (r < 0)
        return r;
    need(job, job->target);
    for (size_t i = 0; job->o.classic && i < job->target; i++)
        need(job, i); /* dockerd builds all up to the target */
    if (job->o.classic)
        job->total = job->file.args.count;
    for (size_t i = 0; i < job->stage_count; i++) {
        struct stage_work *s = &job->stages[i];

        if (!s->needed)
            continue;
        needed++;
        s->step = job->total + 1;
        job->total += 1 + s->source->body.count;
    }
    job->total += job->o.labels && job->o.labels->key;
    *ret_needed = needed;
    return 0;
}

/* dockerd counts ARG before the first FROM among the steps. */
static void tell_globals(struct job *job)
{
    for (size_t i = 0; job->o.classic && i < job->file.args.count; i++)
        job_tell(job, (struct build_event){ .type = BUILD_EVENT_STEP,
                                            .number = i + 1,
                                            .stage = SIZE_MAX,
                                            .text = job->file.args.items[i].text,
                                            .first = job->file.args.items[i].at.first,
                                            .last = job->file.args.items[i].at.last });
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int take_epoch(struct job *job, struct wharf_error *e)
{
    const char *text = NULL;

    job->epoch = job->o.source_date_epoch;
    for (size_t i = 0; job->o.args && job->o.args[i].key; i++) {
        if (streq(job->o.args[i].key, "SOURCE_DATE_EPOCH")) {
            text = job->o.args[i].value;
            job->used_args[i] = 1;
        }
    }
    if (job->epoch >= 0 || !text || !*text)
        return 0;
    return parse_i64(text, 0, INT64_MAX / 1000000000, &job->epoch) < 0
               ? err_invalid(e, "invalid SOURCE_DATE_EPOCH: %.50s", text)
               : 0;
}

static void warn_of_lines(struct job *job)
{
    for (size_t i = 0; i < job->file.warnings.count; i++)
        job_tell(job, (struct build_event){ .type = BUILD_EVENT_WARNING,
                                            .text = job->file.warnings.items[i].text,
                                            .first = job->file.warnings.items[i].line,
                                            .last = job->file.warnings.items[i].line });
}

static void warn_of_args(struct job *job)
{
    autobuf struct buf names = BUF(65536);

    for (size_t i = 0; job->o.args && job->o.args[i].key; i++) {
        if (!job->used_args[i] && !variable_is_proxy(job->o.args[i].key))
            buf_printf(&names, "%s%s", names.len ? " " : "", job->o.args[i].key);
    }
    if (names.len > 0) {
        autofree char *text =
            str_format("One or more build-args [%s] were not consumed", names.data);

        job_tell(job,
                 (struct build_event){ .type = BUILD_EVENT_WARNING, .text = text ? text : "" });
    }
}

static int read_dockerfile(struct job *job, struct wharf_error *e)
{
    const char *text;
    size_t len;
    int r = context_dockerfile(job, &text, &len, e);

    if (r == 0)
        r = dockerfile_parse(text, len, job->arena, &job->file, &job->fault, e);
    if (r == 0)
        r = globals_set(job, e);
    return r;
}

static int build(struct job *job, int context, struct image **ret, struct wharf_error *e)
{
    size_t needed = 0;
    int r = take_epoch(job, e);

    if (r == 0)
        r = intake_begin(&job->intake, job->store, e);
    if (r == 0)
        r = cache_open(job, e);
    if (r == 0)
        r = context_open(job, context, e);
    if (r == 0)
        r = read_dockerfile(job, e);
    if (r == 0)
        r = plan(job, &needed, e);
    if (r < 0)
        return r;
    job_tell(job, (struct build_event){ .type = BUILD_EVENT_PLAN, .number = needed });
    if (job->o.classic)
        warn_of_lines(job);
    tell_globals(job);
    r = run_stages(job, needed, e);
    if (r == 0) {
        if (!job->o.classic)
            warn_of_lines(job);
        warn_of_args(job);
        return job_finish(job, ret, e);
    }
    /* what is done is kept for the next try */
    if (job->intake.blobs || job->intake.layers) {
        if (intake_publish(&job->intake, NULL) == 0)
            cache_write(job, NULL);
    }
    return r;
}

/* A command may be longer than an error can hold. */
static char *fault_text(const struct stage_work *s, const struct wharf_error *e)
{
    if (s && s->exit_code && s->command)
        return str_format(RUN_FAILED, s->command, s->exit_code);
    return strdup(e->message);
}

static void tell_fault(struct job *job, const struct wharf_error *e)
{
    const struct stage_work *s = job->faulty;
    autofree char *text = fault_text(s, e);

    job_tell(job, (struct build_event){ .type = BUILD_EVENT_FAULT,
                                        .number = s ? s->step : 0,
                                        .stage = s ? s->index : SIZE_MAX,
                                        .first = s ? s->at.first : job->fault.first,
                                        .last = s ? s->at.last : job->fault.last,
                                        .code = s ? s->exit_code : 0,
                                        .text = text ? text : e->message });
}

static void job_done(struct job *job)
{
    for (size_t i = 0; job->stages && i < job->stage_count; i++) {
        state_done(&job->stages[i].state);
        arena_free(job->stages[i].arena);
    }
    free(job->stages);
    free(job->used_args);
    json_decref(job->fresh);
    json_decref(job->pulled);
    fd_close(job->cache);
    fd_close(job->context);
    intake_end(&job->intake);
    arena_free(job->arena);
}

static size_t count_pairs(const struct build_pair *p)
{
    size_t n = 0;

    while (p && p[n].key)
        n++;
    return n;
}

int build_run(struct image_store *store, int context, const struct build_options *options,
              struct image **ret_image, struct wharf_error *e)
{
    struct wharf_error own = { 0 };
    struct job job = { .store = store,
                       .o = BUILD_OPTIONS,
                       .context = -1,
                       .cache = -1,
                       .now = time(NULL),
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .event_lock = PTHREAD_MUTEX_INITIALIZER,
                       .image_lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER };
    int r;

    if (!e)
        e = &own;
    if (options)
        memcpy(&job.o, options, MIN(options->size, sizeof(job.o)));
    job.arena = arena_new(DOCKERFILE_ARENA_MAX);
    job.pulled = json_object();
    job.used_args = calloc(count_pairs(job.o.args) + 1, 1);
    if (!job.arena || !job.pulled || !job.used_args)
        r = err_nomem(e);
    else
        r = build(&job, context, ret_image, e);
    if (r < 0)
        tell_fault(&job, e);
    job_done(&job);
    return r;
}
