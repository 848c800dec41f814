/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a grant is for. Names of users and groups become numbers here, once: what the kernel says of a peer are
 * numbers, and no request waits for a directory.
 */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "server/config_sections.h"
#include "server/peer.h"

#define CONFIG_MAX_ACCOUNT   64u
#define CONFIG_MIN_ENTRY_LEN 1024u
#define CONFIG_MAX_ENTRY_LEN (1u << 20) /* of a user or a group with all its members */
#define CONFIG_SHA256_LEN    32u

/* ---- Users and groups ---- */

/* Users or groups. try_find returns 0 with *id, ENOENT, ERANGE for a buffer that is too small, or another errno. */
struct config_directory {
    const char *kind, *command;
    int (*try_find)(const char *name, char *buffer, size_t len, uint32_t *id);
};

static int config_not_found(int error)
{
    return error == 0 || error == ESRCH ? ENOENT : error;
}

static int config_try_user(const char *name, char *buffer, size_t len, uint32_t *id)
{
    struct passwd entry;
    struct passwd *found = NULL;
    int error = getpwnam_r(name, &entry, buffer, len, &found);
    if (found == NULL) {
        return config_not_found(error);
    }
    *id = found->pw_uid;
    return 0;
}

static int config_try_group(const char *name, char *buffer, size_t len, uint32_t *id)
{
    struct group entry;
    struct group *found = NULL;
    int error = getgrnam_r(name, &entry, buffer, len, &found);
    if (found == NULL) {
        return config_not_found(error);
    }
    *id = found->gr_gid;
    return 0;
}

static const struct config_directory config_users = {"user", "getent passwd", config_try_user};
static const struct config_directory config_groups = {"group", "getent group", config_try_group};

static int config_find(const struct config_directory *directory, const char *name, uint32_t *id)
{
    int error = ERANGE;
    for (size_t len = CONFIG_MIN_ENTRY_LEN; error == ERANGE && len <= CONFIG_MAX_ENTRY_LEN;
         len *= 2) {
        char *buffer = malloc(len);
        error = buffer != NULL ? directory->try_find(name, buffer, len, id) : ENOMEM;
        free(buffer);
    }
    return error;
}

/* No user and no group can have a colon in its name, so that everything there is to ask is asked. */
static void config_ask_for_nobody(void)
{
    uint32_t id = 0;
    (void)config_find(&config_users, ":", &id);
    (void)config_find(&config_groups, ":", &id);
}

void sg_config_prepare_names(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, config_ask_for_nobody);
}

/* A number is taken as it is, whether or not somebody has it. The last one means "none" to the kernel. */
static bool config_read_id(struct sg_config_check *check, struct sg_config_key key,
                           const struct config_directory *directory, const char *text, uint32_t *id)
{
    uint64_t number = 0;
    const char *rest = "";
    if (text[strspn(text, SG_CONFIG_DIGITS)] == '\0' && text[0] != '\0') {
        if (!sg_config_parse_number(text, &number, &rest) || number == UINT32_MAX) {
            sg_config_complain(check, key, "\"%.64s\" is not good; expected a number up to %u",
                               text, UINT32_MAX - 1);
            return false;
        }
        *id = (uint32_t)number;
        return true;
    }
    if (text[0] == '\0' || strlen(text) > CONFIG_MAX_ACCOUNT || strchr(text, ':') != NULL ||
        sg_config_has_controls(text)) {
        sg_config_complain(check, key,
                           "\"%.64s\" is not good; expected the name of a %s, or its number", text,
                           directory->kind);
        return false;
    }
    int error = config_find(directory, text, id);
    if (error == ENOENT) {
        sg_config_complain(
            check, key, "there is no %s \"%s\" here; expected one that \"%s\" knows, or a number",
            directory->kind, text, directory->command);
    } else if (error != 0) {
        sg_config_complain(check, key,
                           "%s \"%s\" cannot be looked up: %s; expected a number instead",
                           directory->kind, text, strerrordesc_np(error));
    }
    return error == 0;
}

/* ---- Executables and units ---- */

static int config_hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    const char *found = lower != '\0' ? strchr(digits, lower) : NULL;
    return found != NULL ? (int)(found - digits) : -1;
}

static bool config_parse_sha256(const char *text, uint8_t out[CONFIG_SHA256_LEN])
{
    if (strlen(text) != 2 * (size_t)CONFIG_SHA256_LEN) {
        return false;
    }
    for (size_t i = 0; i < CONFIG_SHA256_LEN; i++) {
        int high = config_hex_digit(text[2 * i]);
        int low = config_hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void config_read_sha256(struct sg_config_check *check, const char *parent, const char *text,
                               struct sg_config_who *who)
{
    if (text == NULL) {
        return;
    }
    who->has_exe_sha256 = config_parse_sha256(text, who->exe_sha256);
    if (!who->has_exe_sha256) {
        sg_config_complain(check, (struct sg_config_key){parent, "exe_sha256"},
                           "\"%.80s\" is not good; expected 64 hexadecimal digits, as sha256sum "
                           "prints them",
                           text);
    }
}

/* A unit's name (systemd.unit(5)); without a type such as .service, and no glob, it would be nobody's. */
static bool config_is_unit(const char *text)
{
    return sg_config_is_word(text, SG_CONFIG_LOWER SG_CONFIG_UPPER SG_CONFIG_DIGITS ":-_.\\@*",
                             SG_PEER_MAX_UNIT) &&
           strpbrk(text, ".*") != NULL;
}

static void config_read_unit(struct sg_config_check *check, const char *parent, const char *text,
                             struct sg_config_who *who)
{
    if (text != NULL && !config_is_unit(text)) {
        sg_config_complain(
            check, (struct sg_config_key){parent, "unit"},
            "\"%.80s\" is not good; expected a unit of systemd with its type, such as "
            "login.service or worker@*.service",
            text);
        return;
    }
    who->unit = sg_config_copy(check, text);
}

/* ---- All of it ---- */

static bool config_names_somebody(const struct sg_config_text_who *text)
{
    return text->user != NULL || text->group != NULL || text->exe != NULL ||
           text->exe_sha256 != NULL || text->unit != NULL;
}

static void config_read_anybody(struct sg_config_check *check, const char *parent,
                                const struct sg_config_text_who *text, struct sg_config_who *who)
{
    struct sg_config_key key = {parent, "anybody"};
    size_t num_faults = check->num_faults;
    sg_config_read_flag(check, key, text->anybody, &who->is_anybody);
    if (who->is_anybody && config_names_somebody(text)) {
        sg_config_complain(
            check, key,
            "anybody is not only who the other keys name; expected anybody alone, or "
            "without it");
    } else if (!who->is_anybody && !config_names_somebody(text) &&
               check->num_faults == num_faults) {
        sg_config_complain(check, (struct sg_config_key){parent, "user"},
                           "who is for nobody; expected at least one of user, group, exe, "
                           "exe_sha256 and unit, or \"anybody: true\"");
    }
}

void sg_config_read_who(struct sg_config_check *check, const char *parent,
                        const struct sg_config_text_who *text, struct sg_config_who *who)
{
    config_read_anybody(check, parent, text, who);
    uint32_t id = 0;
    if (text->user != NULL && config_read_id(check, (struct sg_config_key){parent, "user"},
                                             &config_users, text->user, &id)) {
        who->uid = id;
        who->user = sg_config_copy(check, text->user);
    }
    if (text->group != NULL && config_read_id(check, (struct sg_config_key){parent, "group"},
                                              &config_groups, text->group, &id)) {
        who->gid = id;
        who->group = sg_config_copy(check, text->group);
    }
    sg_config_read_path(check, (struct sg_config_key){parent, "exe"}, text->exe, NULL,
                        SG_PEER_MAX_EXE, &who->exe);
    config_read_sha256(check, parent, text->exe_sha256, who);
    config_read_unit(check, parent, text->unit, who);
}
