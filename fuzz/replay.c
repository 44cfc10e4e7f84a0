/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files and over every file of directories: the corpus as a test. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 << 20 };

static int replay(int dirfd, const char *name)
{
    autofree char *text = NULL;
    ssize_t n = file_read(dirfd, name, INPUT_MAX, &text);

    if (n < 0) {
        fprintf(stderr, "cannot read '%s'\n", name);
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)text, (size_t)n);
    return 0;
}

int main(int argc, char **argv)
{
    int runs = 0, failed = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
            if (entry->d_name[0] == '.')
                continue;
            failed += replay(dirfd(dir), entry->d_name);
            runs++;
        }
        if (!dir) {
            failed += replay(AT_FDCWD, argv[i]);
            runs++;
        } else {
            closedir(dir);
        }
    }
    printf("%d inputs\n", runs);
    return failed || runs == 0;
}
