/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDY frames against the recorded traffic of the historical implementations: every frame of the
 * captures in shared/data/chan-golden is listed in the form of their .txt files and compared line
 * by line. Then what we write is read again, and malformed frames are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <zlib.h>
#include "base/fd.h"
#include "base/str.h"
#include "libchan/spdy-dictionary.h"
#include "libchan/spdy-frame.h"

enum { LISTED_WHOLE = 90, LISTED_CUT = 48, CAPTURE_MAX = 1 << 20 };

static const char *const names[] = { "DATA",     "SYN_STREAM",   "SYN_REPLY", "RST_STREAM",
                                     "SETTINGS", NULL,           "PING",      "GOAWAY",
                                     "HEADERS",  "WINDOW_UPDATE" };

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct spdy_header *)a)->name, ((const struct spdy_header *)b)->name);
}

static void list_headers(struct buf *line, struct spdy_codec *codec, const struct spdy_frame *f)
{
    const struct spdy_header *headers;
    struct spdy_header sorted[SPDY_HEADERS_MAX];
    struct wharf_error e = { 0 };
    size_t n;

    if (spdy_headers_read(codec, f->data, f->length, &headers, &n, &e) < 0)
        fail_msg("%s", e.message);
    memcpy(sorted, headers, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_name);
    for (size_t i = 0; i < n; i++)
        buf_printf(line, "%s%s=%s", i ? " " : " {", sorted[i].name, sorted[i].value);
    buf_str(line, "}");
}

/* Up to 90 bytes are listed whole, longer ones are cut. */
static void list_bytes(struct buf *line, const uint8_t *data, size_t len)
{
    bool cut = len > LISTED_WHOLE;
    char hex[2 * LISTED_WHOLE + 1];

    hex_encode(data, cut ? LISTED_CUT : len, hex);
    buf_printf(line, " %s%s", hex, cut ? "... (the rest is all zero)" : "");
}

static void list_frame(struct buf *line, struct spdy_codec *codec, size_t offset, const uint8_t *p,
                       const struct spdy_frame *f)
{
    buf_reset(line);
    buf_printf(line, "%8zu  %s", offset, names[f->type]);
    if (f->type == SPDY_SYN_STREAM)
        buf_str(line, " version=3");
    buf_printf(line, " flags=%u", f->flags);
    if (f->type != SPDY_SETTINGS)
        buf_printf(line, " sid=%u", f->stream);
    if (f->type == SPDY_SYN_STREAM)
        buf_printf(line, " assoc=%u prio=%u slot=%u", f->associated, p[16] >> 5, p[17]);
    if (f->type == SPDY_DATA)
        buf_printf(line, " len=%u", f->length);
    if (f->type == SPDY_DATA || f->type == SPDY_SETTINGS)
        list_bytes(line, f->data, f->length);
    else
        list_headers(line, codec, f);
}

static char *read_capture(const char *name, size_t *ret_len)
{
    char path[PATH_MAX], *text = NULL; /* on the stack: skip() does not return */

    snprintf(path, sizeof(path), "%s/%s", CHAN_GOLDEN, name);
    ssize_t n = file_read(AT_FDCWD, path, CAPTURE_MAX, &text);
    if (n < 0) {
        print_message("skipped: %s is absent\n", path);
        skip();
    }
    *ret_len = (size_t)n;
    return text;
}

/* Compares the frames of one direction with the part of the listing that stands under its name. */
static void check_capture(const char *listing, const char *name)
{
    size_t len, at = 0, want, ignored;
    autofree char *text = read_capture(listing, &ignored);
    autofree char *bytes = read_capture(name, &len);
    autofree char *title = str_format("# %s\n# offset  frame\n", name);
    const char *line = strstr(text, title);
    struct buf mine = BUF(4096);
    struct spdy_codec *codec;
    struct wharf_error e = { 0 };

    assert_non_null(line);
    line += strlen(title);
    assert_int_equal(spdy_codec_new(&codec, &e), 0);
    while (at < len) {
        const uint8_t *p = (const uint8_t *)bytes + at;
        size_t n = strcspn(line, "\n");
        struct spdy_frame f;

        assert_int_equal(spdy_frame_parse(p, len - at, &f, &want, &e), 1);
        list_frame(&mine, codec, at, p, &f);
        if (n != mine.len || memcmp(line, mine.data, n) != 0)
            fail_msg("%s: expected '%.*s', got '%s'", name, (int)n, line, mine.data);
        at += f.size;
        line += n + 1;
    }
    assert_true(*line == '\n' || *line == 0);
    buf_done(&mine);
    spdy_codec_free(codec);
}

static void test_d2(void **state)
{
    (void)state;
    check_capture("d2.txt", "d2-client-to-server.bin");
    check_capture("d2.txt", "d2-server-to-client.bin");
}

static void test_d3(void **state)
{
    (void)state;
    check_capture("d3.txt", "d3-client-to-server.bin");
    check_capture("d3.txt", "d3-server-to-client.bin");
}

static void test_dictionary(void **state)
{
    uLong adler =
        adler32(adler32(0, NULL, 0), (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_SIZE);

    (void)state;
    assert_int_equal(sizeof(spdy_dictionary) - 1, SPDY_DICTIONARY_SIZE);
    assert_true(adler == SPDY_DICTIONARY_ADLER);
}

static void test_round_trip(void **state)
{
    const struct spdy_header sent[] = { { ":status", "200" },
                                        { "libchan-parent-ref", "" },
                                        { "libchan-ref", "4294967296" } };
    const struct spdy_header *got;
    struct buf out = BUF(1 << 16);
    struct spdy_codec *a, *b;
    struct wharf_error e = { 0 };
    struct spdy_frame f;
    size_t want, n, at = 0;

    (void)state;
    assert_int_equal(spdy_codec_new(&a, &e), 0);
    assert_int_equal(spdy_codec_new(&b, &e), 0);
    for (uint32_t i = 0; i < 50; i++) {
        spdy_write_headers(a, &out, SPDY_SYN_STREAM, i * 2 + 1, i, SPDY_FLAG_FIN, sent, i % 4);
        assert_int_equal(out.error, 0);
        assert_int_equal(spdy_frame_parse((uint8_t *)out.data + at, out.len - at, &f, &want, &e),
                         1);
        assert_true(f.type == SPDY_SYN_STREAM && f.stream == i * 2 + 1 && f.associated == i);
        assert_int_equal(spdy_headers_read(b, f.data, f.length, &got, &n, &e), 0);
        assert_int_equal(n, i % 4);
        for (size_t h = 0; h < n; h++)
            assert_string_equal(spdy_header_find(got, n, sent[h].name), sent[h].value);
        at += f.size;
    }
    buf_reset(&out);
    spdy_write_settings_window(&out, 1 << 20);
    spdy_write_window_update(&out, 7, 65536);
    assert_int_equal(spdy_frame_parse((uint8_t *)out.data, out.len, &f, &want, &e), 1);
    assert_true(f.type == SPDY_SETTINGS && f.initial_window == 1 << 20);
    assert_int_equal(spdy_frame_parse((uint8_t *)out.data + f.size, 9, &f, &want, &e), 0);
    assert_int_equal(want, 16);
    buf_done(&out);
    spdy_codec_free(a);
    spdy_codec_free(b);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
#define BYTES(text) { text, sizeof(text) - 1 }
        BYTES("\x80\x02\x00\x01\x00\x00\x00\x0a"),                 /* version 2 */
        BYTES("\x80\x03\x00\x05\x00\x00\x00\x00"),                 /* NOOP */
        BYTES("\x80\x03\x01\x01\x00\x00\x00\x00"),                 /* type 257 */
        BYTES("\x80\x03\x00\x01\x00\x00\x00\x09"),                 /* short SYN_STREAM */
        BYTES("\x80\x03\x00\x07\x00\x00\x00\x09"),                 /* long GOAWAY */
        BYTES("\x80\x03\x00\x01\x00\xff\xff\xff"),                 /* oversize control frame */
        BYTES("\x80\x03\x00\x04\x00\x00\x00\x04\xff\xff\xff\xff"), /* SETTINGS without entries */
    };
    struct spdy_frame f;
    size_t want;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct wharf_error e = { 0 };

        assert_int_equal(spdy_frame_parse((const uint8_t *)bad[i].bytes, bad[i].len, &f, &want, &e),
                         -EBADMSG);
        assert_true(*e.message);
    }
}

/* Header blocks that lie: each is compressed afresh, so that it reaches the parser. */
static int read_block(const char *plain, size_t len)
{
    const struct spdy_header *headers;
    struct spdy_codec *codec;
    struct wharf_error e = { 0 };
    z_stream z = { 0 };
    uint8_t block[65536];
    size_t n;
    int r;

    assert_int_equal(deflateInit(&z, 9), Z_OK);
    deflateSetDictionary(&z, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_SIZE);
    z.next_in = (Bytef *)(uintptr_t)plain;
    z.avail_in = (uInt)len;
    z.next_out = block;
    z.avail_out = sizeof(block);
    assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(spdy_codec_new(&codec, &e), 0);
    r = spdy_headers_read(codec, block, sizeof(block) - z.avail_out, &headers, &n, &e);
    deflateEnd(&z);
    spdy_codec_free(codec);
    return r;
}

static void test_bad_blocks(void **state)
{
    autofree char *bomb = calloc(1, 1 << 20);

    (void)state;
    assert_int_equal(read_block("\0\0\0\1\0\0\0\1a\0\0\0\1b", 14), 0);
    assert_int_equal(read_block("\0\0\0\1\0\0\0\1A\0\0\0\1b", 14), -EBADMSG);
    assert_int_equal(read_block("\0\0\0\1\0\0\0\0\0\0\0\1b", 13), -EBADMSG);
    assert_int_equal(read_block("\0\0\0\2\0\0\0\1a\0\0\0\0\0\0\0\1a\0\0\0\0", 22), -EBADMSG);
    assert_int_equal(read_block("\0\0\0\1\0\0\0\1a\0\0\0\2b", 14), -EBADMSG);
    assert_int_equal(read_block("\xff\xff\xff\xff", 4), -EBADMSG);
    assert_int_equal(read_block("\0\0", 2), -EBADMSG);
    assert_int_equal(read_block(bomb, 1 << 20), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dictionary), cmocka_unit_test(test_d2),
        cmocka_unit_test(test_d3),         cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_malformed),  cmocka_unit_test(test_bad_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
