/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of what a Dockerfile says: expansion, patterns, lines, instructions, messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "libimage/build/expand.h"
#include "libimage/build/glob.h"
#include "libimage/build/parse.h"

/* ---- expansion ------------------------------------------------------------------------------- */

static const char *lookup(const char *name, size_t len, void *arg)
{
    static const char *const set[][2] = {
        { "A", "hello" }, { "EMPTY", "" }, { "P", "/usr/lib/x.tar.gz" }, { "STAR", "a*b*c" },
        { "SP", "x  y" }, { "REF", "$A" }, { "U", "\xc3\xa4\xc3\xb6" },  { "1", "one" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(set); i++) {
        if (strlen(set[i][0]) == len && memcmp(set[i][0], name, len) == 0)
            return set[i][1];
    }
    return NULL;
}

static void test_expand(void **state)
{
    static const struct {
        const char *text, *result; /* NULL: an error */
    } cases[] = {
        { "", "" },
        { "plain text", "plain text" },
        { "$A", "hello" },
        { "${A}", "hello" },
        { "x$A-y", "xhello-y" },
        { "$AB", "" },
        { "$", "$" },
        { "$ A", "$ A" },
        { "a$", "a$" },
        { "$1x", "onex" },
        { "\\$A", "$A" },
        { "\\\\$A", "\\hello" },
        { "'$A'", "$A" },
        { "\"$A\"", "hello" },
        { "\"\\$A\"", "$A" },
        { "\"a\\nb\"", "a\\nb" },
        { "\"a\\\"b\"", "a\"b" },
        { "a\\ b", "a b" },
        { "'a\\b'", "a\\b" },
        { "$REF", "$A" },
        { "${A:-x}", "hello" },
        { "${N:-x}", "x" },
        { "${N-x}", "x" },
        { "${EMPTY:-x}", "x" },
        { "${EMPTY-x}", "" },
        { "${A:+x}", "x" },
        { "${N:+x}", "" },
        { "${EMPTY:+x}", "" },
        { "${EMPTY+x}", "x" },
        { "${N:-${A}}", "hello" },
        { "${N:-a${N:-b$A}c}", "abhelloc" },
        { "${N:-\"a}b\"}", "a}b" },
        { "${N:-a\\}b}", "a}b" },
        { "${N:?}", NULL },
        { "${N?no}", NULL },
        { "${EMPTY:?no}", NULL },
        { "${EMPTY?no}", "" },
        { "${A?no}", "hello" },
        { "${P#*/}", "usr/lib/x.tar.gz" },
        { "${P##*/}", "x.tar.gz" },
        { "${P%.*}", "/usr/lib/x.tar" },
        { "${P%%.*}", "/usr/lib/x" },
        { "${P#nothing}", "/usr/lib/x.tar.gz" },
        { "${N#x}", "" },
        { "${A#h?l}", "lo" },
        { "${STAR#a\\*}", "b*c" },
        { "${STAR%\\*c}", "a*b" },
        { "${A/l/L}", "heLlo" },
        { "${A//l/L}", "heLLo" },
        { "${A//l/}", "heo" },
        { "${A/*/x}", "x" },
        { "${A//?/x}", "xxxxx" },
        { "${U//?/x}", "xx" },
        { "${P//\\//_}", "_usr_lib_x.tar.gz" },
        { "${N/x/y}", "" },
        { "${A/x/y}", "hello" },
        { "${}", NULL },
        { "${A", NULL },
        { "${:-x}", NULL },
        { "${{A}}", NULL },
        { "${A:x}", NULL },
        { "${A^^}", NULL },
        { "${N:-x", NULL },
        { "${A/x", NULL },
        { "${A#\\x}", NULL },
        { "'open", NULL },
        { "\"open", NULL },
        { "trailing\\", "trailing" },
    };
    struct expander x = { .escape = '\\', .lookup = lookup };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf struct buf out = BUF(EXPAND_MAX);
        struct wharf_error e = { 0 };
        int r = expand_word(&x, cases[i].text, &out, &e);

        if (r == 0 ? !cases[i].result || !streq(out.data, cases[i].result)
                   : cases[i].result != NULL)
            fail_msg("'%s' gives '%s' (%s)", cases[i].text, r == 0 ? out.data : "-", e.message);
        assert_true(r == 0 || strstr(e.message, "failed to process"));
    }
}

static void test_expand_words(void **state)
{
    static const struct {
        const char *text, *words; /* joined by | */
    } cases[] = {
        { "a b", "a|b" }, { "  a\t b ", "a|b" }, { "\"a b\" c", "a b|c" }, { "a\\ b", "a b" },
        { "$SP", "x|y" }, { "\"$SP\"", "x  y" }, { "p$SP", "px|y" },       { "", "" },
        { "$N", "" },     { "'' x", "x" },       { "a'b c'd", "ab cd" },
    };
    struct expander x = { .escape = '\\', .lookup = lookup };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
        autobuf struct buf joined = BUF(1000);
        char **words;
        size_t count;

        assert_int_equal(expand_words(&x, cases[i].text, arena, &words, &count, NULL), 0);
        for (size_t n = 0; n < count; n++)
            buf_printf(&joined, "%s%s", n ? "|" : "", words[n]);
        assert_string_equal(joined.data ? joined.data : "", cases[i].words);
    }
}

static void test_expand_modes(void **state)
{
    struct expander raw = {
        .escape = '\\', .raw_quotes = true, .raw_escapes = true, .skip_unset = true
    };
    struct expander tick = { .escape = '`', .lookup = lookup };
    struct expander doc = { .escape = '\\', .no_quotes = true, .lookup = lookup };
    autobuf struct buf a = BUF(1000), b = BUF(1000), c = BUF(1000), d = BUF(1000000);

    assert_int_equal(expand_word(&raw, "\"a\" 'b' \\c \"\\d\" $x ${y:-z}", &a, NULL), 0);
    assert_string_equal(a.data, "\"a\" 'b' \\c \"\\d\" $x ${y:-z}");
    assert_int_equal(expand_word(&tick, "`$A C:\\x $A", &b, NULL), 0);
    assert_string_equal(b.data, "$A C:\\x hello");
    assert_int_equal(expand_word(&doc, "it's \"$A\" \\$A", &c, NULL), 0);
    assert_string_equal(c.data, "it's \"hello\" $A");
    for (int i = 0; i < 100; i++)
        buf_str(&d, "${N:-");
    assert_int_equal(expand_word(&doc, d.data, &c, NULL), -EINVAL);
}

/* ---- patterns -------------------------------------------------------------------------------- */

static void test_glob(void **state)
{
    static const struct {
        const char *pattern, *path;
        int match; /* -1: malformed */
    } cases[] = {
        { "a", "a", 1 },
        { "a", "b", 0 },
        { "*", "a", 1 },
        { "*", "a/b", 0 },
        { "*.c", "x.c", 1 },
        { "*.c", ".c", 1 },
        { "a?c", "abc", 1 },
        { "a?c", "a/c", 0 },
        { "[a-c]x", "bx", 1 },
        { "[^a-c]x", "bx", 0 },
        { "[^a-c]x", "dx", 1 },
        { "[^a]x", "/x", 0 },
        { "**", "a/b/c", 1 },
        { "**/x", "x", 1 },
        { "**/x", "a/b/x", 1 },
        { "**/x", "ax", 0 },
        { "a/**", "a/b", 1 },
        { "a/**", "a", 0 },
        { "a/**/b", "a/b", 1 },
        { "a/**/b", "a/x/y/b", 1 },
        { "a/**/b", "axb", 0 },
        { "**/*.go", "a/b.go", 1 },
        { "**/*.go", "b.go", 1 },
        { "a**", "abc/d", 1 },
        { "\\*", "*", 1 },
        { "\\*", "a", 0 },
        { "[\\]]", "]", 1 },
        { "[", "[", -1 },
        { "[a", "a", -1 },
        { "[]a]", "a", -1 },
        { "a\\", "a", -1 },
        { "[-]", "-", 1 },
        { "", "", 1 },
        { "*/*/*", "a/b/c", 1 },
        { "*a*b*c*", "xaxbxc", 1 },
        { "*a*b*c*", "xaxcxb", 0 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
        struct glob *g;
        int r = glob_new(cases[i].pattern, arena, &g, NULL);

        if (r == 0)
            r = glob_matches(g, cases[i].path, strlen(cases[i].path));
        else
            r = -1;
        if (r != cases[i].match)
            fail_msg("'%s' on '%s': %d", cases[i].pattern, cases[i].path, r);
    }
}

static void test_ignore(void **state)
{
    static const struct {
        const char *file, *path;
        bool excluded;
    } cases[] = {
        { "a\n", "a", true },
        { "a\n", "a/b/c", true },
        { "a\n", "b/a", false },
        { "/a/\n", "a/x", true },
        { "  a  \n", "a", true },
        { "# a\n", "# a", false },
        { " #a\n", "#a", true },
        { "*\n!a\n", "a", false },
        { "*\n!a\n", "a/b", false },
        { "*\n!a\n", "b", true },
        { "d\n!d/keep\n", "d/keep", false },
        { "d\n!d/keep\n", "d/other", true },
        { "d\n!d/keep\nd/keep\n", "d/keep", true },
        { "!x\nx\n", "x", true },
        { "**/*.o\n", "a/b/c.o", true },
        { "a/../b\n", "b", true },
        { "./b\n", "b", true },
        { "\xef\xbb\xbf"
          "b\n",
          "b", true },
        { "b\r\n", "b", true },
        { "x*\n!xy\n", "xyz", true },
        { ".\n", "a", false },
        { "*/temp*\n", "s/temporary.txt", true },
        { "*/*/temp*\n", "s/temporary.txt", false },
        { "*.md\n!README*.md\nREADME-secret.md\n", "README-secret.md", true },
        { "*.md\n!README*.md\nREADME-secret.md\n", "README-x.md", false },
    };
    struct glob_list bad = { 0 };
    auto_of(arena_free) struct arena *shared = arena_new(1 << 20);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        auto_of(arena_free) struct arena *arena = arena_new(1 << 20);
        struct glob_list list = { 0 };

        assert_int_equal(glob_list_read(&list, cases[i].file, strlen(cases[i].file), arena, NULL),
                         0);
        if (glob_list_excludes(&list, cases[i].path) != cases[i].excluded)
            fail_msg("'%s' on '%s'", cases[i].file, cases[i].path);
    }
    assert_int_equal(glob_list_read(&bad, "!\n", 2, shared, NULL), -EINVAL);
    assert_int_equal(glob_list_read(&bad, "[\n", 2, shared, NULL), -EINVAL);
}

/* ---- whole files ----------------------------------------------------------------------------- */

/* "RUN[a|b]2-3": name, arguments, lines; J behind the name: JSON; what has heredocs shows them. */
static void show(struct buf *b, const struct instruction *i)
{
    buf_printf(b, "%s%s[", instruction_name(i->kind), i->json ? "J" : "");
    for (size_t n = 0; n < i->count; n++)
        buf_printf(b, "%s%s", n ? "|" : "", i->args[n]);
    buf_printf(b, "]%d", i->at.first);
    if (i->at.last != i->at.first)
        buf_printf(b, "-%d", i->at.last);
    for (size_t n = 0; n < i->docs.count; n++)
        buf_printf(b, "{%s%s:%s}", i->docs.items[n].name, i->docs.items[n].expand ? "" : "'",
                   i->docs.items[n].content);
    buf_char(b, ' ');
}

static const struct {
    const char *text, *result;
} files[] = {
    { "FROM a", "FROM[a]1 " },
    { "\xef\xbb\xbf"
      "FROM a\n",
      "FROM[a]1 " },
    { "from a as B\nrun x\n", "FROM[a|as|B]1 RUN[x]2 " },
    { "# c\n\n  FROM a\r\n\tRUN  x  y \r\n", "FROM[a]3 RUN[x  y]4 " },
    { "FROM a\nRUN a \\\n b \\\n  c\n", "FROM[a]1 RUN[a  b   c]2-4 " },
    { "FROM a\nRUN a \\\n# no\n  # neither\n b\n", "FROM[a]1 RUN[a  b]2-5 " },
    { "FROM a\nRUN a \\\n\n b\nRUN c\n", "FROM[a]1 RUN[a  b]2-4 RUN[c]5 " },
    { "FROM a\nRUN a \\  \nb\n", "FROM[a]1 RUN[a b]2-3 " },
    { "FROM a\nRUN a \\\\\nRUN b\n", "FROM[a]1 RUN[a \\\\]2 RUN[b]3 " },
    { "# escape=`\nFROM a\nRUN x `\n y\nRUN z \\\n", "FROM[a]2 RUN[x  y]3-4 RUN[z \\]5 " },
    { "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN `\nx", "FROM[a]3 RUN[x]4-5 " },
    { "# other=1\n# escape=`\nFROM a\nRUN x \\\ny", "FROM[a]3 RUN[x y]4-5 " },
    { "\n# escape=`\nFROM a\nRUN x \\\ny", "FROM[a]3 RUN[x y]4-5 " },
    { "FROM a\nRUN [\"a\", \"b c\"]\n", "FROM[a]1 RUNJ[a|b c]2 " },
    { "FROM a\nRUN ['a']\n", "FROM[a]1 RUN[['a']]2 " },
    { "FROM a\nCMD [ ]\n", "FROM[a]1 CMDJ[]2 " },
    { "FROM a\nCMD\n", "FROM[a]1 CMD[]2 " },
    { "FROM a\nCMD [\"a\"] x\n", "FROM[a]1 CMDJ[a]2 " },
    { "FROM a\nENV a=b c=\"d e\" f=g\\ h\n", "FROM[a]1 ENV[a|b|c|\"d e\"|f|g\\ h]2 " },
    { "FROM a\nENV a b c=d  e\n", "FROM[a]1 ENV[a|b c=d  e]2 " },
    { "FROM a\nENV a==b\n", "FROM[a]1 ENV[a|=b]2 " },
    { "FROM a\nLABEL \"a b\"=c\n", "FROM[a]1 LABEL[\"a b\"|c]2 " },
    { "ARG V=1\nFROM a:$V\nARG V\n", "ARG[V=1]1 FROM[a:$V]2 ARG[V]3 " },
    { "FROM a\nARG A B=c D='e f'\n", "FROM[a]1 ARG[A|B=c|D='e f']2 " },
    { "FROM a\nCOPY a b c/\n", "FROM[a]1 COPY[a|b|c/]2 " },
    { "FROM a\nCOPY [\"a b\", \"c d/\"]\n", "FROM[a]1 COPYJ[a b|c d/]2 " },
    { "FROM a\nCOPY --from=x --chown=1:2 a b\n", "FROM[a]1 COPY[a|b]2 " },
    { "FROM a\nVOLUME /a /b\nVOLUME [\"/c\"]\n", "FROM[a]1 VOLUME[/a|/b]2 VOLUMEJ[/c]3 " },
    { "FROM a\nEXPOSE 80 90/udp\n", "FROM[a]1 EXPOSE[80|90/udp]2 " },
    { "FROM a\nHEALTHCHECK --interval=3s CMD a b\n", "FROM[a]1 HEALTHCHECK[CMD|a b]2 " },
    { "FROM a\nHEALTHCHECK CMD [\"a\",\"b\"]\n", "FROM[a]1 HEALTHCHECKJ[CMD|a|b]2 " },
    { "FROM a\nHEALTHCHECK none\n", "FROM[a]1 HEALTHCHECK[none]2 " },
    { "FROM a\nONBUILD RUN x\n", "FROM[a]1 ONBUILD[RUN x]2 " },
    { "FROM a\nSHELL [\"a\"]\nUSER u:g\nWORKDIR /a b\n",
      "FROM[a]1 SHELLJ[a]2 USER[u:g]3 WORKDIR[/a b]4 " },
    { "FROM a\nMAINTAINER me <a@b>\nSTOPSIGNAL 9\n",
      "FROM[a]1 MAINTAINER[me <a@b>]2 STOPSIGNAL[9]3 " },
    { "FROM a\nRUN <<EOF\na\n b\nEOF\nRUN y\n", "FROM[a]1 RUN[<<EOF]2-5{EOF:a\n b\n} RUN[y]6 " },
    { "FROM a\nRUN cat <<A <<'B' | x\n1\nA\n2\nB\n",
      "FROM[a]1 RUN[cat <<A <<'B' | x]2-6{A:1\n}{B':2\n} " },
    { "FROM a\nRUN <<-E\n\ta\n\t\tb\n\tE\n", "FROM[a]1 RUN[<<-E]2-5{E:a\nb\n} " },
    { "FROM a\nCOPY <<\"x y\" /f\nz\nx y\n", "FROM[a]1 COPY[<<\"x|y\"|/f]2-4{x y':z\n} " },
    { "FROM a\nRUN 3<<E cat\nE\n", "FROM[a]1 RUN[3<<E cat]2-3{E:} " },
    { "FROM a\nRUN [\"<<E\"]\nRUN x <<< y\nRUN $((1<<2))\n",
      "FROM[a]1 RUNJ[<<E]2 RUN[x <<< y]3 RUN[$((1<<2))]4 " },
    { "FROM a\nRUN <<E\n# keep\n\\\nE\n", "FROM[a]1 RUN[<<E]2-5{E:# keep\n\\\n} " },
    { "FROM a\nONBUILD RUN <<E\nx\nE\n", "FROM[a]1 ONBUILD[RUN <<E]2-4{E:x\n} " },
    { "FROM a\nENV x <<E\n", "FROM[a]1 ENV[x|<<E]2 " },
    { "FROM a\nRUN --mount=type=tmpfs,target=/x --network=none a\n", "FROM[a]1 RUN[a]2 " },
    { "FROM --platform=linux/amd64 a\nFROM b AS c.d-e_f\n", "FROM[a]1 FROM[b|AS|c.d-e_f]2 " },
};

static void test_files(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        auto_of(arena_free) struct arena *arena = arena_new(DOCKERFILE_ARENA_MAX);
        autobuf struct buf b = BUF(10000);
        struct wharf_error e = { 0 };
        struct span fault = { 0 };
        struct dockerfile d;

        if (dockerfile_parse(files[i].text, strlen(files[i].text), arena, &d, &fault, &e) < 0)
            fail_msg("%s: %s", files[i].text, e.message);
        for (size_t n = 0; n < d.args.count; n++)
            show(&b, &d.args.items[n]);
        for (size_t s = 0; s < d.stages.count; s++) {
            show(&b, &d.stages.items[s].from);
            for (size_t n = 0; n < d.stages.items[s].body.count; n++)
                show(&b, &d.stages.items[s].body.items[n]);
        }
        assert_string_equal(b.data, files[i].result);
    }
}

static const struct {
    const char *text, *message;
    int line;
} faults[] = {
    { "", "file with no instructions", 0 },
    { "# only\n", "file with no instructions", 0 },
    { "ARG a\n", "no build stage in current context", 0 },
    { "RUN x\n", "no build stage in current context", 1 },
    { "FROM a\nFOO b\n", "dockerfile parse error line 2: unknown instruction: FOO", 2 },
    { "FROM a\nfoo b\n", "dockerfile parse error line 2: unknown instruction: FOO", 2 },
    { "FROM\n", "FROM requires either one or three arguments", 1 },
    { "FROM a b\n", "FROM requires either one or three arguments", 1 },
    { "FROM a as 1x\n", "invalid name for build stage: \"1x\", name can't start with", 1 },
    { "FROM a\n\nRUN\n", "RUN requires at least one argument", 3 },
    { "FROM a\nENV a\n", "ENV must have two arguments", 2 },
    { "FROM a\nENV\n", "ENV requires at least one argument", 2 },
    { "FROM a\nENV a=b c\n",
      "Syntax error - can't find = in \"c\". Must be of the form: name=value", 2 },
    { "FROM a\nENV =b\n", "ENV names can not be blank", 2 },
    { "FROM a\nARG\n", "ARG requires at least one argument", 2 },
    { "FROM a\nARG =b\n", "ARG names can not be blank", 2 },
    { "FROM a\nCOPY a\n", "COPY requires at least two arguments, but only one was provided", 2 },
    { "FROM a\nADD a\n", "ADD requires at least two arguments", 2 },
    { "FROM a\nCOPY --foo=1 a b\n", "Unknown flag: foo", 2 },
    { "FROM a\nCOPY --chown a b\n", "Missing a value on flag: chown", 2 },
    { "FROM a\nCOPY --link=maybe a b\n", "Expecting boolean value for flag link, not: maybe", 2 },
    { "FROM a\nCOPY --from=a --from=b c d\n", "Duplicate flag specified: from", 2 },
    { "FROM a\nADD --from=a b c\n", "Unknown flag: from", 2 },
    { "FROM a\nRUN --chown=1 x\n", "Unknown flag: chown", 2 },
    { "FROM a\nUSER\n", "USER requires exactly one argument", 2 },
    { "FROM a\nWORKDIR\n", "WORKDIR requires exactly one argument", 2 },
    { "FROM a\nEXPOSE\n", "EXPOSE requires at least one argument", 2 },
    { "FROM a\nVOLUME\n", "VOLUME requires at least one argument", 2 },
    { "FROM a\nVOLUME [\"\"]\n", "VOLUME specified can not be an empty string", 2 },
    { "FROM a\nSHELL x\n", "SHELL requires the arguments to be in JSON form", 2 },
    { "FROM a\nCMD [1]\n", "arrays must be comprised of strings only", 2 },
    { "FROM a\nONBUILD ONBUILD RUN x\n", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
      2 },
    { "FROM a\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger", 2 },
    { "FROM a\nHEALTHCHECK\n", "HEALTHCHECK requires at least one argument", 2 },
    { "FROM a\nHEALTHCHECK NONE x\n", "HEALTHCHECK NONE takes no arguments", 2 },
    { "FROM a\nHEALTHCHECK FOO\n", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)", 2 },
    { "FROM a\nHEALTHCHECK CMD\n", "Missing command after HEALTHCHECK CMD", 2 },
    { "FROM a\nRUN x\nRUN <<E\nnever\n", "dockerfile parse error line 3: unterminated heredoc", 3 },
    { "FROM a\nCOPY x <<E\nE\n", "COPY cannot accept a heredoc as a destination", 2 },
    { "# escape=x\nFROM a\n", "invalid escape token 'x'", 1 },
    { "# escape=`\n# escape=`\nFROM a\n", "only one escape parser directive can be used", 2 },
};

static void test_faults(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        auto_of(arena_free) struct arena *arena = arena_new(DOCKERFILE_ARENA_MAX);
        struct wharf_error e = { 0 };
        struct span fault = { 0 };
        struct dockerfile d;

        if (dockerfile_parse(faults[i].text, strlen(faults[i].text), arena, &d, &fault, &e) == 0)
            fail_msg("%s: parses", faults[i].text);
        if (!strstr(e.message, faults[i].message) || fault.first != faults[i].line)
            fail_msg("%s: line %d: %s", faults[i].text, fault.first, e.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),       cmocka_unit_test(test_expand_words),
        cmocka_unit_test(test_expand_modes), cmocka_unit_test(test_glob),
        cmocka_unit_test(test_ignore),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
