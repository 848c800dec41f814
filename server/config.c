/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration as a whole: from the file to its sections, and what replaces or compares it. Every text
 * is checked by the section that it stands in, so that each complaint can say what was expected and all of
 * them are found at once. Nothing is taken from a file that is not good as a whole.
 */
#include "server/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/config_lines.h"
#include "server/config_sections.h"
#include "server/config_text.h"
#include "server/config_values.h"

#define CONFIG_MAX_FILE_MIB 4u
/* systemd's for the names of credentials, which are names of files. */
#define CONFIG_MAX_CREDENTIAL_LEN 255u
/* With its NUL. */
#define CONFIG_MAX_SOCKET (sizeof(((struct sockaddr_un *)0)->sun_path))
/* The socket's name below the runtime directory, and its NUL. */
#define CONFIG_MAX_RUNTIME_DIR (CONFIG_MAX_SOCKET - sizeof("/signet.sock"))

/* ---- Texts ---- */

static bool config_is_credential(const char *text)
{
    return sg_config_is_word(text, SG_CONFIG_LOWER SG_CONFIG_UPPER SG_CONFIG_DIGITS "._-",
                             CONFIG_MAX_CREDENTIAL_LEN) &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

static bool config_is_keystore_key(const char *text)
{
    static const char file[] = "file:", credential[] = "credential:";
    if (strncmp(text, file, sizeof(file) - 1) == 0) {
        return sg_config_is_path(text + sizeof(file) - 1, SG_CONFIG_MAX_DIR_LEN);
    }
    if (strncmp(text, credential, sizeof(credential) - 1) == 0) {
        return config_is_credential(text + sizeof(credential) - 1);
    }
    return strcmp(text, "passphrase:") == 0 || strcmp(text, SG_CONFIG_EPHEMERAL) == 0;
}

/* What is not good is not repeated: it may be a passphrase, or a key, and this goes to the log. */
static void config_read_keystore_key(struct sg_config_check *check, const char *text, char **out)
{
    if (text != NULL && !config_is_keystore_key(text)) {
        sg_config_complain(
            check, (struct sg_config_key){"keystore", "key"},
            "is not good; expected file:PATH with an absolute path of at most %u bytes "
            "without empty parts, \".\" and \"..\", credential:NAME with 1 to %u of "
            "A-Z a-z 0-9 . _ -, \"passphrase:\" with its quotes and nothing after the "
            "colon, or %s",
            SG_CONFIG_MAX_DIR_LEN, CONFIG_MAX_CREDENTIAL_LEN, SG_CONFIG_EPHEMERAL);
        return;
    }
    *out = sg_config_copy(check, text != NULL ? text : SG_CONFIG_KEYSTORE_KEY);
}

static void config_read_socket_mode(struct sg_config_check *check, const char *text, mode_t *out)
{
    if (text == NULL) {
        return;
    }
    size_t len = strlen(text);
    unsigned long mode = strspn(text, "01234567") == len ? strtoul(text, NULL, 8) : 0;
    if (len < 3 || len > 4 || (mode & 0600u) != 0600u || (mode & ~0666ul) != 0) {
        sg_config_complain(check, (struct sg_config_key){"", "socket_mode"},
                           "\"%.64s\" is not good; expected \"0600\", \"0660\" or \"0666\"", text);
        return;
    }
    *out = (mode_t)mode;
}

static void config_read_text(struct sg_config_check *check, const struct sg_config_text *text,
                             struct sg_config *config)
{
    config->socket_mode = 0660;
    sg_config_read_path(check, (struct sg_config_key){"", "runtime_dir"}, text->runtime_dir,
                        SG_CONFIG_RUNTIME_DIR, CONFIG_MAX_RUNTIME_DIR, &config->runtime_dir);
    sg_config_read_path(check, (struct sg_config_key){"", "state_dir"}, text->state_dir,
                        SG_CONFIG_STATE_DIR, SG_CONFIG_MAX_DIR_LEN, &config->state_dir);
    sg_config_read_path(check, (struct sg_config_key){"", "trust_dir"}, text->trust_dir,
                        SG_CONFIG_TRUST_DIR, SG_CONFIG_MAX_DIR_LEN, &config->trust_dir);
    config_read_keystore_key(check, text->keystore.key, &config->keystore_key);
    sg_config_read_user(check, (struct sg_config_key){"", "user"}, text->user, &config->user);
    sg_config_read_keyholder(check, &text->keyholder, config);
    config_read_socket_mode(check, text->socket_mode, &config->socket_mode);
    sg_config_read_limits(check, &text->limits, &config->limits);
    sg_config_read_audit(check, &text->audit, config);
    sg_config_read_keysets(check, text, config);
    sg_config_read_grants(check, text, config);
}

/* ---- The file ---- */

static signet_status config_file_fault(struct sg_config_check *check, const char *what)
{
    sg_config_complain_at(check, 0, "%s", what);
    return SIGNET_INVALID_ARGUMENT;
}

static signet_status config_read_all(struct sg_config_check *check, int fd, size_t size,
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

static signet_status config_read_file(struct sg_config_check *check, uint8_t **bytes, size_t *len)
{
    struct stat info;
    /* Not blocking: a FIFO without a writer is to be refused, not waited for. */
    int fd = open(check->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        sg_config_complain_at(check, 0, "cannot be opened: %s; expected a configuration file",
                              strerrordesc_np(errno));
        return SIGNET_INVALID_ARGUMENT;
    }
    signet_status status = SIGNET_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = config_file_fault(check, "is not a regular file");
    } else if (info.st_size > (off_t)CONFIG_MAX_FILE_MIB << 20) {
        sg_config_complain_at(check, 0, "is too large; expected at most %u MiB",
                              CONFIG_MAX_FILE_MIB);
        status = SIGNET_INVALID_ARGUMENT;
    } else {
        status = config_read_all(check, fd, (size_t)info.st_size, bytes, len);
    }
    (void)close(fd);
    return status;
}

static signet_status config_read_bytes(struct sg_config_check *check, const uint8_t *bytes,
                                       size_t len, struct sg_config *config)
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
        sg_config_complain_at(check, fault.line, "%s", fault.message);
    }
    sg_config_text_free(text);
    sg_config_lines_free(lines);
    return status;
}

static signet_status config_read(struct sg_config_check *check, struct sg_config *config)
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
    struct sg_config_check check = {.file = path, .error = error, .cap = error_cap};
    struct sg_config *config = calloc(1, sizeof(*config));
    if (error_cap > 0) {
        error[0] = '\0';
    }
    signet_status status = SIGNET_RESOURCE_EXHAUSTED;
    sg_config_prepare_names();
    if (config != NULL) {
        status = config_read(&check, config);
    }
    if (status != SIGNET_OK) {
        if (check.num_faults == 0) {
            sg_config_complain_at(&check, 0, "no memory to read it");
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

struct config_number {
    const char *name;
    uint32_t a, b;
};

static const char *config_numbers_difference(const struct config_number *numbers, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        if (numbers[i].a != numbers[i].b) {
            return numbers[i].name;
        }
    }
    return NULL;
}

static const char *config_limits_difference(const struct sg_config_limits *a,
                                            const struct sg_config_limits *b)
{
    const struct config_number numbers[] = {
        {"limits.max_connections", a->max_connections, b->max_connections},
        {"limits.max_connections_per_uid", a->max_connections_per_uid, b->max_connections_per_uid},
        {"limits.max_in_flight", a->max_in_flight, b->max_in_flight},
        {"limits.max_in_flight_per_connection", a->max_in_flight_per_connection,
         b->max_in_flight_per_connection},
        {"limits.max_in_flight_per_uid", a->max_in_flight_per_uid, b->max_in_flight_per_uid},
        {"limits.max_buffer_mib", a->max_buffer_mib, b->max_buffer_mib},
        {"limits.max_cached_macs", a->max_cached_macs, b->max_cached_macs},
        {"limits.idle_timeout", a->idle_timeout_s, b->idle_timeout_s},
        {"limits.workers", a->workers, b->workers},
        {"limits.cpu_per_uid", a->cpu_per_uid_percent, b->cpu_per_uid_percent},
        {"limits.cpu_burst", a->cpu_burst_ms, b->cpu_burst_ms},
        {"limits.consumed_per_uid", a->consumed_per_uid, b->consumed_per_uid},
    };
    return config_numbers_difference(numbers, sizeof(numbers) / sizeof(numbers[0]));
}

static const char *config_audit_difference(const struct sg_config_audit *a,
                                           const struct sg_config_audit *b)
{
    const struct config_number numbers[] = {
        {"audit.on_full", a->on_full, b->on_full},
        {"audit.verifications", a->verifications, b->verifications},
        {"audit.max_file_mib", a->max_file_mib, b->max_file_mib},
        {"audit.max_file_age", a->max_file_age_s, b->max_file_age_s},
        {"audit.max_files", a->max_files, b->max_files},
        {"audit.queue_kib", a->queue_kib, b->queue_kib},
        {"audit.head_every", a->head_every_s, b->head_every_s},
    };
    return config_numbers_difference(numbers, sizeof(numbers) / sizeof(numbers[0]));
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
        {"audit.dir", running->audit.dir, fresh->audit.dir},
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
    const char *name = config_limits_difference(&running->limits, &fresh->limits);
    return name != NULL ? name : config_audit_difference(&running->audit, &fresh->audit);
}

/* ---- Without a file ---- */

signet_status sg_config_override(struct sg_config *config, const char *runtime_dir,
                                 const char *user, char *error, size_t error_cap)
{
    struct sg_config_check check = {.file = "command line", .cap = error_cap};
    check.error = error;
    if (runtime_dir != NULL) {
        free(config->runtime_dir);
        config->runtime_dir = NULL;
        sg_config_read_path(&check, (struct sg_config_key){"", "--runtime-dir"}, runtime_dir, NULL,
                            CONFIG_MAX_RUNTIME_DIR, &config->runtime_dir);
    }
    if (user != NULL) {
        free(config->user);
        config->user = NULL;
        sg_config_read_user(&check, (struct sg_config_key){"", "--user"}, user, &config->user);
        sg_config_check_keyholder_user(&check, (struct sg_config_key){"", "keyholder.user"},
                                       config);
    }
    return check.num_faults == 0 ? SIGNET_OK : SIGNET_INVALID_ARGUMENT;
}

signet_status sg_config_demo(struct sg_config **out)
{
    static const char issuer[] = "https://signet.example/demo";
    static const char never[] = SG_CONFIG_ROTATE_NEVER;
    static const struct sg_config_text_keyset keysets[] = {
        {.name = "demo-hs256", .alg = "HS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-rs256", .alg = "RS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-ps256", .alg = "PS256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-es256", .alg = "ES256", .issuer = issuer, .rotate_every = never},
        {.name = "demo-eddsa", .alg = "EdDSA", .issuer = issuer, .rotate_every = never},
    };
    static const char *const rights[] = {"sign", "verify", "revoke"};
    static const char *const all[] = {"*"};
    static const struct sg_config_text_grant grant = {
        .name = "anybody",
        .who = {.anybody = "true"},
        .may = rights,
        .may_count = sizeof(rights) / sizeof(rights[0]),
        .keysets = all,
        .keysets_count = 1,
    };
    const struct sg_config_text text = {
        .keystore = {.key = SG_CONFIG_EPHEMERAL},
        .limits = {.cpu_per_uid = SG_CONFIG_OFF}, /* whoever tries it out is alone with it */
        .keysets = keysets,
        .keysets_count = sizeof(keysets) / sizeof(keysets[0]),
        .grants = &grant,
        .grants_count = 1,
    };
    char error[256];
    struct sg_config_check check = {.file = "demo", .error = error, .cap = sizeof(error)};
    struct sg_config *config = calloc(1, sizeof(*config));
    if (config == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    config_read_text(&check, &text, config);
    /* The host's issuers are not for trying things out. */
    free(config->trust_dir);
    config->trust_dir = sg_config_copy(&check, "");
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
    sg_config_free_grants(config);
    free(config->audit.dir);
    free(config->runtime_dir);
    free(config->state_dir);
    free(config->user);
    free(config->keystore_key);
    free(config->trust_dir);
    free(config->keyholder.user);
    free(config->keyholder.socket);
    free(config);
}
