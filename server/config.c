/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration's values: from the texts of signet.yaml to numbers, paths and keysets. Every
 * text is checked here, so that each complaint can say what was expected and all of them are found
 * at once. Nothing is taken from a file that is not good as a whole.
 */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/limits.h"
#include "server/config_lines.h"
#include "server/config_text.h"
#include "server/keyholder/keyholder.h"
#include "server/name_index.h"

#define CONFIG_MAX_FILE_MIB 4u
#define CONFIG_MAX_PATH     256u /* of a key in the file */
#define CONFIG_MAX_KEYSETS  4096u
#define CONFIG_MAX_WORKERS  64u
#define CONFIG_MAX_TTL_S    (366u * 86400u)
/* Leaves room for names in a directory wherever a path is kept or told of. */
#define CONFIG_MAX_DIR_LEN 512u
/* systemd's for the names of credentials, which are names of files. */
#define CONFIG_MAX_CREDENTIAL_LEN 255u
/* Often enough for any test, and not so often that keys are all that the daemon is busy with. */
#define CONFIG_MIN_ROTATE_S  10u
#define CONFIG_MAX_ROTATE_S  (3650u * 86400u)
#define CONFIG_MAX_LEAD_S    (30u * 86400u)
#define CONFIG_MAX_OVERLAP_S (366u * 86400u)
#define CONFIG_ROTATE_NEVER  "never"
/* With its NUL. */
#define CONFIG_MAX_SOCKET (sizeof(((struct sockaddr_un *)0)->sun_path))
/* The socket's name below the runtime directory, and its NUL. */
#define CONFIG_MAX_RUNTIME_DIR (CONFIG_MAX_SOCKET - sizeof("/signet.sock"))

/* ---- Complaints ---- */

struct config_check {
    const char *file;
    const struct sg_config_lines *lines;
    struct sg_name_index names; /* of the keysets so far */
    char *error;
    size_t cap, used;
    size_t num_faults;
};

static void __attribute__((format(printf, 3, 0)))
config_vcomplain(struct config_check *check, size_t line, const char *format, va_list arguments)
{
    char text[512];
    char where[32] = "";
    (void)vsnprintf(text, sizeof(text), format, arguments);
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

/* line 0: about the file as a whole. */
static void __attribute__((format(printf, 3, 4)))
config_complain_at(struct config_check *check, size_t line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    config_vcomplain(check, line, format, arguments);
    va_end(arguments);
}

/* A place in the file: the path of a mapping and a key in it. */
struct config_key {
    const char *parent; /* "", "limits", "keystore", "keyholder" or "keysets[3]" */
    const char *name;
};

static void __attribute__((format(printf, 3, 4)))
config_complain(struct config_check *check, struct config_key key, const char *format, ...)
{
    char path[CONFIG_MAX_PATH];
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)snprintf(path, sizeof(path), "%s%s%s", key.parent, *key.parent != '\0' ? "." : "",
                   key.name);
    size_t line = check->lines != NULL ? sg_config_lines_find(check->lines, path) : 0;
    config_complain_at(check, line, "%s: %s", path, text);
}

/* ---- Values ---- */

static bool config_parse_number(const char *text, uint64_t *out, const char **rest)
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
static void config_read_number(struct config_check *check, struct config_key key, const char *text,
                               uint32_t min, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;
    const char *rest = "";
    if (text == NULL) {
        return;
    }
    if (!config_parse_number(text, &value, &rest) || *rest != '\0' || value < min || value > max) {
        config_complain(check, key, "\"%.64s\" is not good; expected a whole number from %u to %u",
                        text, min, max);
        return;
    }
    *out = (uint32_t)value;
}

static bool config_parse_duration(const char *text, uint64_t *seconds)
{
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *unit = "";
    uint64_t value = 0;
    if (!config_parse_number(text, &value, &unit)) {
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

static void config_read_duration(struct config_check *check, struct config_key key,
                                 const char *text, uint32_t min_s, uint32_t max_s, uint32_t *out)
{
    uint64_t seconds = 0;
    if (text == NULL) {
        return;
    }
    if (!config_parse_duration(text, &seconds)) {
        config_complain(check, key,
                        "\"%.64s\" is not a duration; expected one such as 90s, 15m, 24h or 7d",
                        text);
    } else if (seconds < min_s || seconds > max_s) {
        config_complain(check, key, "\"%.64s\" is out of range; expected %u s to %u s", text, min_s,
                        max_s);
    } else {
        *out = (uint32_t)seconds;
    }
}

/* ---- Texts ---- */

/* A copy of text, or of the default; without memory it is NULL and a complaint. */
static char *config_copy(struct config_check *check, const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (copy == NULL && text != NULL) {
        config_complain_at(check, 0, "no memory to read it");
    }
    return copy;
}

#define CONFIG_DIGITS "0123456789"
#define CONFIG_LOWER  "abcdefghijklmnopqrstuvwxyz"
#define CONFIG_UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool config_is_word(const char *text, const char *alphabet, size_t max_len)
{
    size_t len = strlen(text);
    return len >= 1 && len <= max_len && strspn(text, alphabet) == len;
}

bool sg_config_is_name(const char *text)
{
    return config_is_word(text, CONFIG_LOWER CONFIG_DIGITS "._-", SG_MAX_KEYSET_NAME_LEN);
}

/* A media type's characters (RFC 6838 section 4.2), which need no escape in the header. */
bool sg_config_is_typ(const char *text)
{
    return config_is_word(text, CONFIG_LOWER CONFIG_UPPER CONFIG_DIGITS "!#$&^_.+-/",
                          SG_MAX_TYP_LEN);
}

/* StringOrURI (RFC 7519 section 2): what has a colon must be a URI. */
static bool config_is_issuer(const char *text)
{
    size_t len = strlen(text);
    bool is_uri = strchr(text, ':') != NULL;
    if (len == 0 || len > SG_MAX_ISSUER_LEN) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c == 0x7f || (is_uri && c == ' ')) {
            return false;
        }
    }
    size_t scheme_len = strspn(text, CONFIG_LOWER CONFIG_UPPER CONFIG_DIGITS "+.-");
    bool has_scheme =
        scheme_len > 0 && text[scheme_len] == ':' && strspn(text, CONFIG_DIGITS "+.-") == 0;
    return !is_uri || has_scheme;
}

/* "/a/b" without empty components, "." and "..", so that what is checked is what is used. */
static bool config_is_path(const char *text, size_t max_len)
{
    size_t len = strlen(text);
    if (text[0] != '/' || len < 2 || len > max_len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ') {
            return false;
        }
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

static void config_read_path(struct config_check *check, struct config_key key, const char *text,
                             const char *default_path, size_t max_len, char **out)
{
    if (text != NULL && !config_is_path(text, max_len)) {
        config_complain(check, key,
                        "\"%.128s\" is not good; expected an absolute path of at most %zu bytes, "
                        "without empty parts, \".\" and \"..\"",
                        text, max_len);
        return;
    }
    *out = config_copy(check, text != NULL ? text : default_path);
}

static bool config_is_credential(const char *text)
{
    return config_is_word(text, CONFIG_LOWER CONFIG_UPPER CONFIG_DIGITS "._-",
                          CONFIG_MAX_CREDENTIAL_LEN) &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool config_is_keystore_key(const char *text)
{
    static const char file[] = "file:", credential[] = "credential:";
    if (strncmp(text, file, sizeof(file) - 1) == 0) {
        return config_is_path(text + sizeof(file) - 1, CONFIG_MAX_DIR_LEN);
    }
    if (strncmp(text, credential, sizeof(credential) - 1) == 0) {
        return config_is_credential(text + sizeof(credential) - 1);
    }
    return strcmp(text, "passphrase:") == 0 || strcmp(text, SG_CONFIG_EPHEMERAL) == 0;
}

/* What is not good is not repeated: it may be a passphrase, or a key, and this goes to the log. */
static void config_read_keystore_key(struct config_check *check, const char *text, char **out)
{
    if (text != NULL && !config_is_keystore_key(text)) {
        config_complain(check, (struct config_key){"keystore", "key"},
                        "is not good; expected file:PATH with an absolute path of at most %u bytes "
                        "without empty parts, \".\" and \"..\", credential:NAME with 1 to %u of "
                        "A-Z a-z 0-9 . _ -, \"passphrase:\" with its quotes and nothing after the "
                        "colon, or %s",
                        CONFIG_MAX_DIR_LEN, CONFIG_MAX_CREDENTIAL_LEN, SG_CONFIG_EPHEMERAL);
        return;
    }
    *out = config_copy(check, text != NULL ? text : SG_CONFIG_KEYSTORE_KEY);
}

static void config_read_user(struct config_check *check, struct config_key key, const char *text,
                             char **out)
{
    if (text != NULL &&
        (text[0] == '\0' || strlen(text) > 32 || strpbrk(text, " \t:/\n") != NULL)) {
        config_complain(check, key, "\"%.64s\" is not good; expected the name of a user", text);
        return;
    }
    *out = config_copy(check, text);
}

static void config_read_socket_mode(struct config_check *check, const char *text, mode_t *out)
{
    if (text == NULL) {
        return;
    }
    size_t len = strlen(text);
    unsigned long mode = strspn(text, "01234567") == len ? strtoul(text, NULL, 8) : 0;
    if (len < 3 || len > 4 || (mode & 0600u) != 0600u || (mode & ~0666ul) != 0) {
        config_complain(check, (struct config_key){"", "socket_mode"},
                        "\"%.64s\" is not good; expected \"0600\", \"0660\" or \"0666\"", text);
        return;
    }
    *out = (mode_t)mode;
}

/* ---- Sections ---- */

/* As it was first seen: a processor that comes or goes is no change of the configuration. */
static uint32_t config_num_cpus(void)
{
    static _Atomic uint32_t known;
    uint32_t num = atomic_load(&known);
    if (num == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        num = online > 1 ? (uint32_t)online : 1;
        num = num > CONFIG_MAX_WORKERS ? CONFIG_MAX_WORKERS : num;
        atomic_store(&known, num);
    }
    return num;
}

static struct sg_config_limits config_default_limits(void)
{
    return (struct sg_config_limits){
        .max_connections = 4096,
        .max_connections_per_uid = 2048,
        .max_in_flight = 1024,
        .max_in_flight_per_connection = 64,
        .max_buffer_mib = 64,
        .idle_timeout_s = 0,
        .workers = config_num_cpus(),
    };
}

/* A part may not be more than its whole: a default is lowered, a number of the file is refused. */
static void config_fit(struct config_check *check, const char *part_name, const char *part_text,
                       uint32_t *part, const char *whole_name, uint32_t whole)
{
    if (*part <= whole) {
        return;
    }
    if (part_text != NULL) {
        config_complain(check, (struct config_key){"limits", part_name},
                        "%u is more than %s; expected at most %u", *part, whole_name, whole);
        return;
    }
    *part = whole;
}

static void config_read_limits(struct config_check *check, const struct sg_config_text_limits *text,
                               struct sg_config_limits *limits)
{
    *limits = config_default_limits();
    const struct {
        const char *name, *text;
        uint32_t min, max;
        uint32_t *out;
    } numbers[] = {
        {"max_connections", text->max_connections, 1, 65536, &limits->max_connections},
        {"max_connections_per_uid", text->max_connections_per_uid, 1, 65536,
         &limits->max_connections_per_uid},
        {"max_in_flight", text->max_in_flight, 1, 65536, &limits->max_in_flight},
        {"max_in_flight_per_connection", text->max_in_flight_per_connection, 1, 4096,
         &limits->max_in_flight_per_connection},
        {"max_buffer_mib", text->max_buffer_mib, 8, 4096, &limits->max_buffer_mib},
        {"workers", text->workers, 1, CONFIG_MAX_WORKERS, &limits->workers},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        config_read_number(check, (struct config_key){"limits", numbers[i].name}, numbers[i].text,
                           numbers[i].min, numbers[i].max, numbers[i].out);
    }
    config_read_duration(check, (struct config_key){"limits", "idle_timeout"}, text->idle_timeout,
                         0, 7 * 86400, &limits->idle_timeout_s);
    config_fit(check, "max_connections_per_uid", text->max_connections_per_uid,
               &limits->max_connections_per_uid, "max_connections", limits->max_connections);
    config_fit(check, "max_in_flight_per_connection", text->max_in_flight_per_connection,
               &limits->max_in_flight_per_connection, "max_in_flight", limits->max_in_flight);
}

/* The bit of a protection; 0 if there is none of that name. */
static uint32_t config_protection_of(const char *text)
{
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS; i++) {
        if (strcmp(text, sg_keyholder_protection_name(i)) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

static void config_complain_protection(struct config_check *check, const char *name,
                                       const char *text)
{
    char known[200] = "";
    size_t used = 0;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS && used < sizeof(known); i++) {
        int len = snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
                           sg_keyholder_protection_name(i));
        used += len > 0 ? (size_t)len : 0;
    }
    config_complain(check, (struct config_key){"keyholder", name},
                    "\"%.32s\" is not a protection; expected one of %s", text, known);
}

static void config_read_required(struct config_check *check,
                                 const struct sg_config_text_keyholder *text,
                                 struct sg_config_keyholder *keyholder)
{
    for (unsigned i = 0; i < text->require_count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "require[%u]", i);
        uint32_t bit = config_protection_of(text->require[i]);
        if (bit == 0) {
            config_complain_protection(check, name, text->require[i]);
        } else if (bit == SG_PROTECT_OWN_USER && text->user == NULL && text->socket == NULL) {
            config_complain(check, (struct config_key){"keyholder", name},
                            "%s cannot hold; expected keyholder.user or keyholder.socket with it",
                            text->require[i]);
        }
        keyholder->required |= bit;
    }
}

/* What runs as the daemon's user is the daemon's to trace and to stop, and root's rights are just what the
 * keyholder is to be without. Other names for one uid are found at the start. */
static void config_check_keyholder_user(struct config_check *check, struct config_key key,
                                        const struct sg_config *config)
{
    const char *user = config->keyholder.user;
    if (user == NULL) {
        return;
    }
    if (config->user != NULL && strcmp(user, config->user) == 0) {
        config_complain(
            check, key,
            "\"%s\" is the daemon's user too, so that own_user would not hold; expected "
            "a user of the keyholder's own, such as signet-keys",
            user);
    } else if (strcmp(user, "root") == 0) {
        config_complain(
            check, key,
            "root may do more than the keyholder needs; expected a user of its own, such "
            "as signet-keys");
    }
}

static void config_read_keyholder(struct config_check *check,
                                  const struct sg_config_text_keyholder *text,
                                  struct sg_config *config)
{
    struct config_key user = {"keyholder", "user"};
    config_read_user(check, user, text->user, &config->keyholder.user);
    config_check_keyholder_user(check, user, config);
    config_read_path(check, (struct config_key){"keyholder", "socket"}, text->socket, NULL,
                     CONFIG_MAX_SOCKET - 1, &config->keyholder.socket);
    if (text->user != NULL && text->socket != NULL) {
        config_complain(
            check, user,
            "who starts the keyholder on keyholder.socket also chooses its user; expected "
            "one of the two only");
    }
    config_read_required(check, text, &config->keyholder);
}

static bool config_is_rsa(enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    return info != NULL &&
           (info->family == SG_FAMILY_RSA_PKCS1 || info->family == SG_FAMILY_RSA_PSS);
}

static void config_read_alg(struct config_check *check, const char *parent, const char *text,
                            struct sg_config_keyset *keyset)
{
    char known[200] = "";
    size_t used = 0;
    keyset->alg = text != NULL ? sg_alg_from_name(text, strlen(text)) : SG_ALG_UNSET;
    if (keyset->alg != SG_ALG_UNSET) {
        keyset->alg_name = config_copy(check, sg_alg_info(keyset->alg)->config_name);
        return;
    }
    for (int alg = SG_ALG_UNSET + 1; alg < SG_ALG_COUNT && used < sizeof(known); alg++) {
        int len = snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
                           sg_alg_info((enum sg_alg)alg)->config_name);
        used += len > 0 ? (size_t)len : 0;
    }
    if (text == NULL) {
        config_complain(check, (struct config_key){parent, "alg"}, "is missing; expected one of %s",
                        known);
    } else {
        config_complain(check, (struct config_key){parent, "alg"},
                        "\"%.32s\" is not an algorithm; expected one of %s", text, known);
    }
}

/* The keyset before this one that has the name; false if none has. */
static bool config_find_name(const struct config_check *check, const struct sg_config *config,
                             const char *name, uint32_t *out)
{
    struct sg_name_index_search search;
    uint32_t index = 0;
    sg_name_index_begin(&check->names, name, strlen(name), &search);
    while (sg_name_index_next(&search, &index)) {
        const char *other = config->keysets[index].name;
        if (other != NULL && strcmp(other, name) == 0) {
            *out = index;
            return true;
        }
    }
    return false;
}

static void config_read_name(struct config_check *check, const char *parent,
                             const struct sg_config *config, const char *text, char **out)
{
    struct config_key key = {parent, "name"};
    uint32_t other = 0;
    if (text == NULL || !sg_config_is_name(text)) {
        config_complain(check, key, "%s%.80s%s; expected 1 to %u of a-z 0-9 . _ -",
                        text != NULL ? "\"" : "", text != NULL ? text : "is missing",
                        text != NULL ? "\" is not a name" : "", SG_MAX_KEYSET_NAME_LEN);
        return;
    }
    if (config_find_name(check, config, text, &other)) {
        config_complain(check, key, "\"%s\" is the name of keysets[%u] too; expected another", text,
                        other);
        return;
    }
    sg_name_index_put(&check->names, text, strlen(text), (uint32_t)config->num_keysets);
    *out = config_copy(check, text);
}

static void config_read_ttls(struct config_check *check, const char *parent,
                             const struct sg_config_text_keyset *text,
                             struct sg_config_keyset *keyset)
{
    keyset->default_ttl_s = 900;
    keyset->max_ttl_s = 86400;
    config_read_duration(check, (struct config_key){parent, "max_ttl"}, text->max_ttl, 1,
                         CONFIG_MAX_TTL_S, &keyset->max_ttl_s);
    config_read_duration(check, (struct config_key){parent, "default_ttl"}, text->default_ttl, 1,
                         CONFIG_MAX_TTL_S, &keyset->default_ttl_s);
    if (keyset->default_ttl_s > keyset->max_ttl_s) {
        if (text->default_ttl == NULL) {
            keyset->default_ttl_s = keyset->max_ttl_s;
            return;
        }
        config_complain(check, (struct config_key){parent, "default_ttl"},
                        "%u s is more than max_ttl; expected at most %u s", keyset->default_ttl_s,
                        keyset->max_ttl_s);
    }
}

static void config_read_rotate_every(struct config_check *check, const char *parent,
                                     const char *text, uint32_t *out)
{
    uint64_t seconds = 0;
    if (text == NULL) {
        return;
    }
    if (strcmp(text, CONFIG_ROTATE_NEVER) == 0) {
        *out = 0;
        return;
    }
    if (!config_parse_duration(text, &seconds) || seconds < CONFIG_MIN_ROTATE_S ||
        seconds > CONFIG_MAX_ROTATE_S) {
        config_complain(check, (struct config_key){parent, "rotate_every"},
                        "\"%.64s\" is not good; expected a duration of %u s to %u s such as 30d, "
                        "or %s",
                        text, CONFIG_MIN_ROTATE_S, CONFIG_MAX_ROTATE_S, CONFIG_ROTATE_NEVER);
        return;
    }
    *out = (uint32_t)seconds;
}

/* A key is published after the one before it began to sign, so that no more than one ever waits. */
static void config_read_rotation(struct config_check *check, const char *parent,
                                 const struct sg_config_text_keyset *text,
                                 struct sg_config_keyset *keyset)
{
    keyset->rotate_every_s = 30 * 86400;
    keyset->publish_lead_s = 3600;
    config_read_rotate_every(check, parent, text->rotate_every, &keyset->rotate_every_s);
    config_read_duration(check, (struct config_key){parent, "overlap"}, text->overlap, 0,
                         CONFIG_MAX_OVERLAP_S, &keyset->overlap_s);
    if (keyset->rotate_every_s != 0 && keyset->publish_lead_s > keyset->rotate_every_s / 2) {
        keyset->publish_lead_s = keyset->rotate_every_s / 2;
    }
    config_read_duration(check, (struct config_key){parent, "publish_lead"}, text->publish_lead, 0,
                         CONFIG_MAX_LEAD_S, &keyset->publish_lead_s);
    if (keyset->rotate_every_s != 0 && keyset->publish_lead_s >= keyset->rotate_every_s) {
        config_complain(check, (struct config_key){parent, "publish_lead"},
                        "%u s is not less than rotate_every; expected at most %u s",
                        keyset->publish_lead_s, keyset->rotate_every_s - 1);
    }
}

static void config_read_rsa_bits(struct config_check *check, const char *parent, const char *text,
                                 struct sg_config_keyset *keyset)
{
    struct config_key key = {parent, "rsa_bits"};
    if (!config_is_rsa(keyset->alg)) {
        if (text != NULL && keyset->alg != SG_ALG_UNSET) {
            config_complain(check, key, "%s has no RSA key; expected no rsa_bits here",
                            keyset->alg_name);
        }
        return;
    }
    keyset->rsa_bits = SG_MIN_RSA_BITS;
    config_read_number(check, key, text, SG_MIN_RSA_BITS, SG_MAX_RSA_BITS, &keyset->rsa_bits);
    if (keyset->rsa_bits % 256 != 0) {
        config_complain(check, key, "%u is not good; expected a multiple of 256, such as 3072",
                        keyset->rsa_bits);
    }
}

static void config_read_keyset(struct config_check *check, const struct sg_config *config,
                               const struct sg_config_text_keyset *text,
                               struct sg_config_keyset *keyset)
{
    char parent[32];
    (void)snprintf(parent, sizeof(parent), "keysets[%zu]", config->num_keysets);
    config_read_name(check, parent, config, text->name, &keyset->name);
    config_read_alg(check, parent, text->alg, keyset);
    if (text->issuer == NULL || !config_is_issuer(text->issuer)) {
        config_complain(check, (struct config_key){parent, "issuer"},
                        "%s; expected a name or a URI of 1 to %u bytes, such as "
                        "https://login.example",
                        text->issuer != NULL ? "is not good" : "is missing", SG_MAX_ISSUER_LEN);
    } else {
        keyset->issuer = config_copy(check, text->issuer);
    }
    if (text->typ != NULL && !sg_config_is_typ(text->typ)) {
        config_complain(check, (struct config_key){parent, "typ"},
                        "\"%.80s\" is not good; expected a media type such as JWT or at+jwt",
                        text->typ);
    } else {
        keyset->typ = config_copy(check, text->typ != NULL ? text->typ : "JWT");
    }
    config_read_ttls(check, parent, text, keyset);
    config_read_rotation(check, parent, text, keyset);
    config_read_rsa_bits(check, parent, text->rsa_bits, keyset);
}

static void config_read_keysets(struct config_check *check, const struct sg_config_text *text,
                                struct sg_config *config)
{
    struct config_key key = {"", "keysets"};
    if (text->keysets_count == 0 || text->keysets_count > CONFIG_MAX_KEYSETS) {
        config_complain(check, key, "%u keysets; expected 1 to %u", text->keysets_count,
                        CONFIG_MAX_KEYSETS);
        return;
    }
    config->keysets = calloc(text->keysets_count, sizeof(*config->keysets));
    if (config->keysets == NULL || !sg_name_index_init(&check->names, text->keysets_count)) {
        config_complain_at(check, 0, "no memory to read it");
        return;
    }
    for (unsigned i = 0; i < text->keysets_count; i++) {
        config_read_keyset(check, config, &text->keysets[i], &config->keysets[i]);
        config->num_keysets++;
    }
    sg_name_index_fini(&check->names);
}

static void config_read_text(struct config_check *check, const struct sg_config_text *text,
                             struct sg_config *config)
{
    config->socket_mode = 0660;
    config_read_path(check, (struct config_key){"", "runtime_dir"}, text->runtime_dir,
                     SG_CONFIG_RUNTIME_DIR, CONFIG_MAX_RUNTIME_DIR, &config->runtime_dir);
    config_read_path(check, (struct config_key){"", "state_dir"}, text->state_dir,
                     SG_CONFIG_STATE_DIR, CONFIG_MAX_DIR_LEN, &config->state_dir);
    config_read_path(check, (struct config_key){"", "trust_dir"}, text->trust_dir,
                     SG_CONFIG_TRUST_DIR, CONFIG_MAX_DIR_LEN, &config->trust_dir);
    config_read_keystore_key(check, text->keystore.key, &config->keystore_key);
    config_read_user(check, (struct config_key){"", "user"}, text->user, &config->user);
    config_read_keyholder(check, &text->keyholder, config);
    config_read_socket_mode(check, text->socket_mode, &config->socket_mode);
    config_read_limits(check, &text->limits, &config->limits);
    config_read_keysets(check, text, config);
}

/* ---- The file ---- */

static signet_status config_file_fault(struct config_check *check, const char *what)
{
    config_complain_at(check, 0, "%s", what);
    return SIGNET_INVALID_ARGUMENT;
}

static signet_status config_read_all(struct config_check *check, int fd, size_t size,
                                     uint8_t **bytes, size_t *len)
{
    uint8_t *buffer = malloc(size + 1);
    size_t used = 0;
    ssize_t got = 1;
    while (buffer != NULL && got > 0 && used <= size) {
        got = read(fd, buffer + used, size + 1 - used);
        used += got > 0 ? (size_t)got : 0;
    }
    if (buffer == NULL || got < 0 || used > size) {
        free(buffer);
        return config_file_fault(check, "cannot be read, or changes while it is read");
    }
    *bytes = buffer;
    *len = used;
    return SIGNET_OK;
}

static signet_status config_read_file(struct config_check *check, uint8_t **bytes, size_t *len)
{
    struct stat info;
    /* Not blocking: a FIFO without a writer is to be refused, not waited for. */
    int fd = open(check->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        config_complain_at(check, 0, "cannot be opened: %s; expected a configuration file",
                           strerrordesc_np(errno));
        return SIGNET_INVALID_ARGUMENT;
    }
    signet_status status = SIGNET_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = config_file_fault(check, "is not a regular file");
    } else if (info.st_size > (off_t)CONFIG_MAX_FILE_MIB << 20) {
        config_complain_at(check, 0, "is too large; expected at most %u MiB", CONFIG_MAX_FILE_MIB);
        status = SIGNET_INVALID_ARGUMENT;
    } else {
        status = config_read_all(check, fd, (size_t)info.st_size, bytes, len);
    }
    (void)close(fd);
    return status;
}

static signet_status config_read_bytes(struct config_check *check, const uint8_t *bytes, size_t len,
                                       struct sg_config *config)
{
    struct sg_config_lines *lines = NULL;
    struct sg_config_text *text = NULL;
    struct sg_config_fault fault = {0, {0}};
    signet_status status = sg_config_lines_read(bytes, len, &lines, &fault);
    if (status == SIGNET_OK) {
        status = sg_config_text_read(bytes, len, lines, &text, &fault);
    }
    if (status == SIGNET_OK) {
        check->lines = lines;
        config_read_text(check, text, config);
        check->lines = NULL;
        status = check->num_faults == 0 ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
    } else if (status == SIGNET_INVALID_ARGUMENT) {
        config_complain_at(check, fault.line, "%s", fault.message);
    }
    sg_config_text_free(text);
    sg_config_lines_free(lines);
    return status;
}

static signet_status config_read(struct config_check *check, struct sg_config *config)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    signet_status status = config_read_file(check, &bytes, &len);
    if (status != SIGNET_OK) {
        return status;
    }
    status = config_read_bytes(check, bytes, len, config);
    free(bytes);
    return status;
}

signet_status sg_config_load(const char *path, struct sg_config **out, char *error,
                             size_t error_cap)
{
    struct config_check check = {.file = path, .error = error, .cap = error_cap};
    struct sg_config *config = calloc(1, sizeof(*config));
    if (error_cap > 0) {
        error[0] = '\0';
    }
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    if (config != NULL) {
        status = config_read(&check, config);
    }
    if (status != SIGNET_OK) {
        if (check.num_faults == 0) {
            config_complain_at(&check, 0, "no memory to read it");
        }
        sg_config_free(config);
        return status;
    }
    *out = config;
    return SIGNET_OK;
}

/* ---- What is in force ---- */

bool sg_config_is_ephemeral(const struct sg_config *config)
{
    return strcmp(config->keystore_key, SG_CONFIG_EPHEMERAL) == 0;
}

static bool config_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *config_limits_difference(const struct sg_config_limits *a,
                                            const struct sg_config_limits *b)
{
    const struct {
        const char *name;
        uint32_t a, b;
    } numbers[] = {
        {"limits.max_connections", a->max_connections, b->max_connections},
        {"limits.max_connections_per_uid", a->max_connections_per_uid, b->max_connections_per_uid},
        {"limits.max_in_flight", a->max_in_flight, b->max_in_flight},
        {"limits.max_in_flight_per_connection", a->max_in_flight_per_connection,
         b->max_in_flight_per_connection},
        {"limits.max_buffer_mib", a->max_buffer_mib, b->max_buffer_mib},
        {"limits.idle_timeout", a->idle_timeout_s, b->idle_timeout_s},
        {"limits.workers", a->workers, b->workers},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].a != numbers[i].b) {
            return numbers[i].name;
        }
    }
    return NULL;
}

const char *sg_config_difference(const struct sg_config *running, const struct sg_config *fresh)
{
    const struct {
        const char *name, *a, *b;
    } texts[] = {
        {"runtime_dir", running->runtime_dir, fresh->runtime_dir},
        {"state_dir", running->state_dir, fresh->state_dir},
        {"user", running->user, fresh->user},
        {"keystore.key", running->keystore_key, fresh->keystore_key},
        {"keyholder.user", running->keyholder.user, fresh->keyholder.user},
        {"keyholder.socket", running->keyholder.socket, fresh->keyholder.socket},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!config_same_text(texts[i].a, texts[i].b)) {
            return texts[i].name;
        }
    }
    if (running->keyholder.required != fresh->keyholder.required) {
        return "keyholder.require";
    }
    if (running->socket_mode != fresh->socket_mode) {
        return "socket_mode";
    }
    return config_limits_difference(&running->limits, &fresh->limits);
}

/* ---- Without a file ---- */

signet_status sg_config_override(struct sg_config *config, const char *runtime_dir,
                                 const char *user, char *error, size_t error_cap)
{
    struct config_check check = {.file = "command line", .cap = error_cap};
    check.error = error;
    if (runtime_dir != NULL) {
        free(config->runtime_dir);
        config->runtime_dir = NULL;
        config_read_path(&check, (struct config_key){"", "--runtime-dir"}, runtime_dir, NULL,
                         CONFIG_MAX_RUNTIME_DIR, &config->runtime_dir);
    }
    if (user != NULL) {
        free(config->user);
        config->user = NULL;
        config_read_user(&check, (struct config_key){"", "--user"}, user, &config->user);
        config_check_keyholder_user(&check, (struct config_key){"", "keyholder.user"}, config);
    }
    return check.num_faults == 0 ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
}

signet_status sg_config_demo(struct sg_config **out)
{
    static const char issuer[] = "https://signet.example/demo";
    static const char never[] = CONFIG_ROTATE_NEVER;
    static const struct sg_config_text_keyset keysets[] = {
        {.name = "demo-hs256", .alg = "HS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-rs256", .alg = "RS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-ps256", .alg = "PS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-es256", .alg = "ES256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-eddsa", .alg = "EdDSA", .issuer = issuer, .rotate_every = never},
    };
    const struct sg_config_text text = {
        .keystore = {.key = SG_CONFIG_EPHEMERAL},
        .keysets = keysets,
        .keysets_count = sizeof(keysets) / sizeof(keysets[0]),
    };
    char error[256];
    struct config_check check = {.file = "demo", .error = error, .cap = sizeof(error)};
    struct sg_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    config_read_text(&check, &text, config);
    /* The host's issuers are not for trying things out. */
    free(config->trust_dir);
    config->trust_dir = config_copy(&check, "");
    if (check.num_faults > 0) {
        sg_config_free(config);
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    *out = config;
    return SIGNET_OK;
}

void sg_config_free(struct sg_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->num_keysets; i++) {
        free(config->keysets[i].name);
        free(config->keysets[i].alg_name);
        free(config->keysets[i].issuer);
        free(config->keysets[i].typ);
    }
    free(config->keysets);
    free(config->runtime_dir);
    free(config->state_dir);
    free(config->user);
    free(config->keystore_key);
    free(config->trust_dir);
    free(config->keyholder.user);
    free(config->keyholder.socket);
    free(config);
}
