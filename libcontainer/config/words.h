/* SPDX-License-Identifier: Apache-2.0 */
/* The closed vocabularies of runtime-spec: each word with the kernel's own constant. The field
 * tables read and write with them, the features document lists them. */
#ifndef LIBCONTAINER_CONFIG_WORDS_H
#define LIBCONTAINER_CONFIG_WORDS_H

#include "base/fields.h"

extern const struct field_word spec_namespace_words[];   /* CLONE_NEW* */
extern const struct field_word spec_device_words[];      /* 'c' 'b' 'u' 'p' */
extern const struct field_word spec_device_rule_words[]; /* 'a' 'c' 'b' */
extern const struct field_word spec_propagation_words[]; /* MS_*, with MS_REC */

extern const struct field_word spec_rlimit_words[];         /* RLIMIT_* */
extern const struct field_word spec_io_class_words[];       /* IOPRIO_CLASS_* */
extern const struct field_word spec_scheduler_words[];      /* SCHED_* */
extern const struct field_word spec_scheduler_flag_words[]; /* SCHED_FLAG_* */
extern const struct field_word spec_personality_words[];    /* PER_* */
extern const struct field_word spec_memory_mode_words[];    /* MPOL_* */
extern const struct field_word spec_memory_flag_words[];    /* MPOL_F_* */

extern const struct field_word spec_seccomp_action_words[];   /* SECCOMP_RET_* */
extern const struct field_word spec_seccomp_operator_words[]; /* SCMP_CMP_* */
extern const struct field_word spec_seccomp_arch_words[];     /* SCMP_ARCH_* */
extern const struct field_word spec_seccomp_flag_words[];     /* SECCOMP_FILTER_FLAG_* */

extern const struct field_word spec_landlock_fs_words[];    /* LANDLOCK_ACCESS_FS_* */
extern const struct field_word spec_landlock_net_words[];   /* LANDLOCK_ACCESS_NET_* */
extern const struct field_word spec_landlock_scope_words[]; /* LANDLOCK_SCOPE_* */

#endif
