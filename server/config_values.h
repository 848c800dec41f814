/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the configuration's reading have in common: how they complain, and how single texts become
 * numbers, times, paths and names. Private to config*.c.
 */
#ifndef SG_CONFIG_VALUES_H
#define SG_CONFIG_VALUES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"
#include "server/config_lines.h"
#include "server/name_index.h"

#define SG_CONFIG_MAX_TTL_S (366u * 86400u)
/* Leaves room for names in a directory wherever a path is kept or told of. */
#define SG_CONFIG_MAX_DIR_LEN 512u

#define SG_CONFIG_DIGITS "0123456789"
#define SG_CONFIG_LOWER  "abcdefghijklmnopqrstuvwxyz"
#define SG_CONFIG_UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SG_CONFIG_NAME   SG_CONFIG_LOWER SG_CONFIG_DIGITS "._-" /* of keysets and grants */

/* ---- Complaints ---- */

/* One reading of a file. */
struct sg_config_check {
    const char *file;
    const struct sg_config_lines *lines; /* NULL: there are none to tell of */
    struct sg_name_index names;          /* of the keysets so far */
    char *error;
    size_t cap, used;
    size_t num_faults;
};

/* A place in the file: the path of a mapping and a key in it. */
struct sg_config_key {
    const char *parent; /* "", "limits", "keysets[3]" or "grants[3].claims" */
    const char *name;
};

/* sg_config_complain_at adds a fault. line 0: about the file as a whole. */
void sg_config_complain_at(struct sg_config_check *check, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* sg_config_is_given says whether the key is in the file, be it with an empty list. */
bool sg_config_is_given(const struct sg_config_check *check, struct sg_config_key key);
/* sg_config_complain adds one with the line and the path of a key. */
void sg_config_complain(struct sg_config_check *check, struct sg_config_key key, const char *format,
                        ...) __attribute__((format(printf, 3, 4)));

/* ---- Values ----
 * sg_config_read_...: absent text (NULL) leaves the default that *out holds; what is not good is a complaint
 * and leaves it too. */

/* sg_config_parse_number reads digits; *rest is what follows them. False if there are none, or too many. */
bool sg_config_parse_number(const char *text, uint64_t *out, const char **rest);
void sg_config_read_number(struct sg_config_check *check, struct sg_config_key key,
                           const char *text, uint32_t min, uint32_t max, uint32_t *out);
bool sg_config_parse_duration(const char *text, uint64_t *seconds);
void sg_config_read_duration(struct sg_config_check *check, struct sg_config_key key,
                             const char *text, uint32_t min_s, uint32_t max_s, uint32_t *out);

/* sg_config_copy copies text, to be freed; NULL for NULL. Without memory it is NULL and a complaint. */
char *sg_config_copy(struct sg_config_check *check, const char *text);

/* sg_config_is_word says whether text is 1 to max_len characters of the alphabet. */
bool sg_config_is_word(const char *text, const char *alphabet, size_t max_len);
/* sg_config_check_name complains of what sg_config_is_name does not take, and of NULL. */
bool sg_config_check_name(struct sg_config_check *check, struct sg_config_key key,
                          const char *text);
/* sg_config_is_path: "/a/b" without empty components, "." and "..", so that what is checked is what is
 * used. */
bool sg_config_is_path(const char *text, size_t max_len);
/* Absent text is a copy of default_path, which may be NULL. */
void sg_config_read_path(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         const char *default_path, size_t max_len, char **out);
void sg_config_read_user(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         char **out);
/* sg_config_read_flag reads true or false. */
void sg_config_read_flag(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         bool *out);

/* ---- Lists of texts ---- */

struct sg_config_text_list {
    const char *const *texts;
    unsigned num;
};

/* sg_config_read_list copies a list of at most SG_CONFIG_MAX_LIST texts; *out has *num of them and belongs to the
 * caller, sg_config_free_list it, whatever was complained of. problem_of says what is wrong with one, as the
 * words that follow it ("is not a name; expected ..."; static), or NULL. */
void sg_config_read_list(struct sg_config_check *check, struct sg_config_key key,
                         struct sg_config_text_list list,
                         const char *(*problem_of)(const char *text), char ***out, size_t *num);
void sg_config_free_list(char **list, size_t num);
/* sg_config_list_is_short complains of a list of more than SG_CONFIG_MAX_LIST entries. */
bool sg_config_list_is_short(struct sg_config_check *check, struct sg_config_key key, unsigned num);
/* sg_config_has_controls says whether text holds control characters. */
bool sg_config_has_controls(const char *text);

#endif
