/* SPDX-License-Identifier: Apache-2.0 */
/* wharf: finds the command in the table, opens the engine in this process, and calls it. */
#include <stdio.h>
#include "base/str.h"
#include "cmd/wharf/cli.h"

/* The group's second word: that of a name of two ("volume ls"), the name itself, or the alias. */
static bool is_second(const struct command *c, const char *word)
{
    const char *space = strchr(c->name, ' ');

    return streq(word, space ? space + 1 : c->name) || (c->alias && streq(word, c->alias));
}

/* `wharf ps`, `wharf container ps`, `wharf container ls`; *ret_words: how many words it took. */
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    for (const struct command *c = commands; argc > 0 && c->name; c++) {
        if (streq(argv[0], c->name)) {
            *ret_words = 1;
            return c;
        }
        if (argc > 1 && c->group && streq(argv[0], c->group) && is_second(c, argv[1])) {
            *ret_words = 2;
            return c;
        }
    }
    return NULL;
}

/* --root DIR, --root=DIR and the like, before the command: how many words; -1: none of them. */
static int global_flag(int argc, char **argv, struct engine_options *options)
{
    const struct {
        const char *name;
        const char **at;
    } flags[] = { { "--root", &options->root },
                  { "--run", &options->run },
                  { "--shim", &options->shim } };

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        const char *rest = str_after(argv[0], flags[i].name);

        if (rest && *rest == '=') {
            *flags[i].at = rest + 1;
            return 1;
        }
        if (rest && !*rest && argc > 1) {
            *flags[i].at = argv[1];
            return 2;
        }
    }
    return -1;
}

static int usage_error(const struct command *c, const struct wharf_error *e)
{
    fprintf(stderr, "%s\nSee 'wharf %s --help'.\n\nUsage:  wharf %s %s\n\n%s\n", e->message,
            c->name, c->name, c->usage, c->help);
    return c->failure;
}

static int call(const struct command *c, const struct engine_options *where, int argc, char **argv)
{
    struct cli cli = { .command = c, .who = principal_of_user(geteuid(), getpid()) };
    autofree void *options = calloc(1, c->size + 1);
    int count;

    if (!options)
        return 1;
    int r = cli_parse(c, argc, argv, options, &count, &cli.e);
    if (r == 1) {
        cli_help(c);
        return 0;
    }
    if (r < 0) {
        cli_free_options(c, options);
        return usage_error(c, &cli.e);
    }
    argv[count] = NULL; /* the arguments are a list for whoever wants one */
    r = engine_open(&cli.engine, where, &cli.e);
    int code = r < 0 ? cli_fail(&cli) : c->run(&cli, options, count, argv);
    engine_close(cli.engine);
    cli_free_options(c, options);
    if (fflush(stdout) != 0 && code == 0) {
        fprintf(stderr, "Error: cannot write to stdout\n");
        code = 1;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct engine_options where = { 0 };
    int words = 0;

    for (argc--, argv++; argc > 0 && argv[0][0] == '-'; argc -= words, argv += words) {
        words = global_flag(argc, argv, &where);
        if (words < 0)
            break;
    }
    if (argc == 0 || streq(argv[0], "help") || streq(argv[0], "--help") || streq(argv[0], "-h")) {
        cli_help_all();
        return argc == 0 ? 1 : 0;
    }
    if (streq(argv[0], "--version") || streq(argv[0], "-v")) {
        printf("wharf version " WHARF_VERSION "\n");
        return 0;
    }
    const struct command *c = find_command(argc, argv, &words);
    if (!c) {
        fprintf(stderr, "wharf: '%s' is not a wharf command.\nSee 'wharf --help'\n", argv[0]);
        return 1;
    }
    return call(c, &where, argc - words, argv + words);
}
