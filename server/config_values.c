/* SPDX-License-Identifier: Apache-2.0
 *
 * Complaints, and what single texts of the configuration say.
 */
#include "server/config_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/config.h"

#define CONFIG_MAX_PATH 256u /* of a key in the file */

/* ---- Complaints ---- */

/* One complaint is one line, and of whole characters: what is repeated of a file may hold others, or be cut in
 * the midst of one. The file's are UTF-8, or there would be no value to repeat. */
static void config_mend(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
        size_t num = 0;
        while (num < more && ((unsigned char)at[num + 1] & 0xc0) == 0x80) {
            num++;
        }
        if (c < ' ' || c == 0x7f || (c >= 0x80 && (more == 0 || num < more))) {
            *at = '?';
        } else {
            at += num;
        }
    }
}

static void __attribute__((format(printf, 3, 0)))
config_vcomplain(struct sg_config_check *check, size_t line, const char *format, va_list arguments)
{
    char text[512];
    char where[32] = "";
    (void)vsnprintf(text, sizeof(text), format, arguments);
    config_mend(text);
    if (line > 0) {
        (void)snprintf(where, sizeof(where), ":%zu", line);
    }
    check->num_faults++;
    size_t room = check->cap - check->used;
    int len = snprintf(check->error + check->used, room, "%s%s%s: %s", check->used > 0 ? "\n" : "",
                       check->file, where, text);
    if (len > 0 && (size_t)len < room) {
        check->used += (size_t)len;
    } else if (check->used > 0) {
        check->error[check->used] = '\0'; /* whole lines only, but the first even if it is cut */
    }
}

void __attribute__((format(printf, 3, 4)))
sg_config_complain_at(struct sg_config_check *check, size_t line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    config_vcomplain(check, line, format, arguments);
    va_end(arguments);
}

/* With its whole path cut where no path of a configuration is that long. */
static void config_path_of(struct sg_config_key key, char out[CONFIG_MAX_PATH])
{
    (void)snprintf(out, CONFIG_MAX_PATH, "%s%s%s", key.parent, *key.parent != '\0' ? "." : "",
                   key.name);
}

bool sg_config_is_given(const struct sg_config_check *check, struct sg_config_key key)
{
    char path[CONFIG_MAX_PATH];
    config_path_of(key, path);
    return check->lines != NULL && sg_config_lines_has(check->lines, path);
}

void __attribute__((format(printf, 3, 4)))
sg_config_complain(struct sg_config_check *check, struct sg_config_key key, const char *format, ...)
{
    char path[CONFIG_MAX_PATH];
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    config_path_of(key, path);
    size_t line = check->lines != NULL ? sg_config_lines_find(check->lines, path) : 0;
    sg_config_complain_at(check, line, "%s: %s", path, text);
}

/* ---- Values ---- */

bool sg_config_parse_number(const char *text, uint64_t *out, const char **rest)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > UINT32_MAX) {
            return false;
        }
    }
    *out = value;
    *rest = at;
    return at != text;
}

/* Absent text leaves the default that *out holds. */
void sg_config_read_number(struct sg_config_check *check, struct sg_config_key key,
                           const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    const char *rest = "";
    if (text == NULL) {
        return;
    }
    if (!sg_config_parse_number(text, &value, &rest) || *rest != '\0' || value < min ||
        value > max) {
        sg_config_complain(check, key,
                           "\"%.64s\" is not good; expected a whole number from %u to %u", text,
                           min, max);
        return;
    }
    *out = (uint32_t)value;
}

bool sg_config_parse_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *unit = "";
    uint64_t value = 0;
    if (!sg_config_parse_number(text, &value, &unit)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].unit) == 0) {
            *seconds = value * units[i].seconds;
            return true;
        }
    }
    return false;
}

void sg_config_read_duration(struct sg_config_check *check, struct sg_config_key key,
                             const char *text, uint32_t min_s, uint32_t max_s, uint32_t *out)
{
    uint64_t seconds = 0;
    if (text == NULL) {
        return;
    }
    if (!sg_config_parse_duration(text, &seconds)) {
        sg_config_complain(check, key,
                           "\"%.64s\" is not a duration; expected one such as 90s, 15m, 24h or 7d",
                           text);
    } else if (seconds < min_s || seconds > max_s) {
        sg_config_complain(check, key, "\"%.64s\" is out of range; expected %u s to %u s", text,
                           min_s, max_s);
    } else {
        *out = (uint32_t)seconds;
    }
}

/* ---- Texts ---- */

/* A copy of text, or of the default; without memory it is NULL and a complaint. */
char *sg_config_copy(struct sg_config_check *check, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (copy == NULL && text != NULL) {
        sg_config_complain_at(check, 0, "no memory to read it");
    }
    return copy;
}

bool sg_config_is_word(const char *text, const char *alphabet, size_t max_len)
{
    size_t len = strlen(text);
    return len >= 1 && len <= max_len && strspn(text, alphabet) == len;
}

bool sg_config_is_name(const char *text)
{
    return sg_config_is_word(text, SG_CONFIG_NAME, SG_MAX_KEYSET_NAME_LEN);
}

bool sg_config_check_name(struct sg_config_check *check, struct sg_config_key key, const char *text)
{
    if (text == NULL || !sg_config_is_name(text)) {
        sg_config_complain(check, key, "%s%.80s%s; expected 1 to %u of a-z 0-9 . _ -",
                           text != NULL ? "\"" : "", text != NULL ? text : "is missing",
                           text != NULL ? "\" is not a name" : "", SG_MAX_KEYSET_NAME_LEN);
        return false;
    }
    return true;
}

/* A media type's characters (RFC 6838 section 4.2), which need no escape in the header. */
bool sg_config_is_typ(const char *text)
{
    return sg_config_is_word(text, SG_CONFIG_LOWER SG_CONFIG_UPPER SG_CONFIG_DIGITS "!#$&^_.+-/",
                             SG_MAX_TYP_LEN);
}

/* "/a/b" without empty components, "." and "..", so that what is checked is what is used. */
bool sg_config_is_path(const char *text, size_t max_len)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len < 2 || len > max_len) {
        return false;
    }
    if (sg_config_has_controls(text)) {
        return false;
    }
    for (const char *at = text; *at == '/';) {
        const char *part = at + 1;
        size_t part_len = strcspn(part, "/");
        if (part_len == 0 || (part_len <= 2 && strspn(part, ".") >= part_len)) {
            return false;
        }
        at = part + part_len;
    }
    return true;
}

void sg_config_read_path(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         const char *default_path, size_t max_len, char **out)
{
    if (text != NULL && !sg_config_is_path(text, max_len)) {
        sg_config_complain(
            check, key,
            "\"%.128s\" is not good; expected an absolute path of at most %zu bytes, "
            "without empty parts, \".\" and \"..\"",
            text, max_len);
        return;
    }
    *out = sg_config_copy(check, text != NULL ? text : default_path);
}

void sg_config_read_user(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         char **out)
{
    if (text != NULL &&
        (text[0] == '\0' || strlen(text) > 32 || strpbrk(text, " \t:/\n") != NULL)) {
        sg_config_complain(check, key, "\"%.64s\" is not good; expected the name of a user", text);
        return;
    }
    *out = sg_config_copy(check, text);
}

void sg_config_read_flag(struct sg_config_check *check, struct sg_config_key key, const char *text,
                         bool *out)
{
    if (text == NULL) {
        return;
    }
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        sg_config_complain(check, key, "\"%.64s\" is not good; expected true or false", text);
        return;
    }
    *out = strcmp(text, "true") == 0;
}

/* ---- Lists of texts ---- */

bool sg_config_has_controls(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

bool sg_config_list_is_short(struct sg_config_check *check, struct sg_config_key key, unsigned num)
{
    if (num > SG_CONFIG_MAX_LIST) {
        sg_config_complain(check, key, "%u entries; expected at most %u", num, SG_CONFIG_MAX_LIST);
    }
    return num <= SG_CONFIG_MAX_LIST;
}

void sg_config_read_list(struct sg_config_check *check, struct sg_config_key key,
                         struct sg_config_text_list list,
                         const char *(*problem_of)(const char *text), char ***out, size_t *num)
{
    if (list.num == 0 || !sg_config_list_is_short(check, key, list.num)) {
        return;
    }
    *out = calloc(list.num, sizeof(**out));
    if (*out == NULL) {
        sg_config_complain_at(check, 0, "no memory to read it");
        return;
    }
    for (unsigned i = 0; i < list.num; i++) {
        const char *problem = problem_of(list.texts[i]);
        if (problem != NULL) {
            char name[32];
            (void)snprintf(name, sizeof(name), "%s[%u]", key.name, i);
            sg_config_complain(check, (struct sg_config_key){key.parent, name}, "\"%.64s\" %s",
                               list.texts[i], problem);
            continue;
        }
        (*out)[*num] = sg_config_copy(check, list.texts[i]);
        *num += (*out)[*num] != NULL ? 1 : 0;
    }
}

void sg_config_free_list(char **list, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        free(list[i]);
    }
    free(list);
}
