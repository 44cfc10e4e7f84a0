/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SELinux and AppArmor through their kernel files, without their libraries.
 *
 * Detection looks for selinuxfs and AppArmor's securityfs directory as seen by the runtime. The
 * exec label is written below a procfs that we made ourselves (a faked /proc in the root redirects
 * nothing: CVE-2019-16884, CVE-2019-19921), to the calling thread's attr directory.
 */
#include "libcontainer/credentials.h"
#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#define LABEL_MAX 4096 /* PAGE_SIZE: what /proc/PID/attr takes in one write */

bool lsm_selinux_enabled(void)
{
    struct statfs fs;

    return statfs("/sys/fs/selinux", &fs) == 0 && fs.f_type == SELINUX_MAGIC;
}

bool lsm_apparmor_enabled(void)
{
    char *text = NULL;
    bool on = file_read(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &text) > 0 &&
              *text == 'Y';

    free(text);
    return on;
}

/* One write to thread-self/attr/FILE below the private procfs. */
static int write_attr(int proc, const char *file, const char *label, struct wharf_error *e)
{
    autoclose int fd = path_open_plain(proc, file, O_WRONLY, 0);

    if (fd < 0)
        return err_code(e, fd, "cannot open '%s' to set the label '%s'", file, label);
    if (write(fd, label, strlen(label)) < 0)
        return err_sys(e, "cannot set the label '%s'", label);
    return 0;
}

static int apply_apparmor(int proc, const char *profile, const char *self, struct wharf_error *e)
{
    char label[LABEL_MAX], file[64];
    int n = snprintf(label, sizeof(label), "exec %s", profile), r;

    if (n < 0 || (size_t)n >= sizeof(label))
        return err_invalid(e, "process.apparmorProfile: the name is longer than %d", LABEL_MAX);
    /* since Linux 5.8 AppArmor has a directory of its own beside other modules */
    snprintf(file, sizeof(file), "%s/attr/apparmor/exec", self);
    r = write_attr(proc, file, label, NULL);
    if (r != -ENOENT)
        return r < 0 ? write_attr(proc, file, label, e) : 0;
    snprintf(file, sizeof(file), "%s/attr/exec", self);
    return write_attr(proc, file, label, e);
}

int lsm_check(const char **selinux_label, const char **apparmor_profile, struct wharf_error *e)
{
    if (*selinux_label && !lsm_selinux_enabled())
        *selinux_label = NULL;
    if (*apparmor_profile && !lsm_apparmor_enabled()) {
        if (**apparmor_profile && !streq(*apparmor_profile, "unconfined"))
            return err_unsupported(e,
                                   "process.apparmorProfile: '%s' is asked for, but AppArmor is "
                                   "not enabled on this host",
                                   *apparmor_profile);
        *apparmor_profile = NULL;
    }
    return 0;
}

int lsm_apply(int proc, const char *selinux_label, const char *apparmor_profile,
              struct wharf_error *e)
{
    /* the pid as the private procfs sees it: a plain directory, where "self" is a link */
    char self[32], file[64];
    int r = 0;

    snprintf(self, sizeof(self), "%d", (int)getpid());
    if (selinux_label && *selinux_label) {
        snprintf(file, sizeof(file), "%s/attr/exec", self);
        r = write_attr(proc, file, selinux_label, e);
    }
    if (r == 0 && apparmor_profile && *apparmor_profile)
        r = apply_apparmor(proc, apparmor_profile, self, e);
    return r;
}
