/* SPDX-License-Identifier: Apache-2.0
 *
 * The keysets of the configuration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "server/config_sections.h"
#include "server/name_index.h"

#define CONFIG_MAX_KEYSETS 4096u
/* Often enough for any test, and not so often that keys are all that the daemon is busy with. */
#define CONFIG_MIN_ROTATE_S  10u
#define CONFIG_MAX_ROTATE_S  (3650u * 86400u)
#define CONFIG_MAX_LEAD_S    (30u * 86400u)
#define CONFIG_MAX_OVERLAP_S (366u * 86400u)

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
    size_t scheme_len = strspn(text, SG_CONFIG_LOWER SG_CONFIG_UPPER SG_CONFIG_DIGITS "+.-");
    bool has_scheme =
        scheme_len > 0 && text[scheme_len] == ':' && strspn(text, SG_CONFIG_DIGITS "+.-") == 0;
    return !is_uri || has_scheme;
}

static bool config_is_rsa(enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    return info != NULL &&
           (info->family == SG_FAMILY_RSA_PKCS1 || info->family == SG_FAMILY_RSA_PSS);
}

static void config_read_alg(struct sg_config_check *check, const char *parent, const char *text,
                            struct sg_config_keyset *keyset)
{
    char known[200] = "";
    size_t used = 0;
    keyset->alg = text != NULL ? sg_alg_from_name(text, strlen(text)) : SG_ALG_UNSET;
    if (keyset->alg != SG_ALG_UNSET) {
        keyset->alg_name = sg_config_copy(check, sg_alg_info(keyset->alg)->config_name);
        return;
    }
    for (int alg = SG_ALG_UNSET + 1; alg < SG_ALG_COUNT && used < sizeof(known); alg++) {
        int len = snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
                           sg_alg_info((enum sg_alg)alg)->config_name);
        used += len > 0 ? (size_t)len : 0;
    }
    if (text == NULL) {
        sg_config_complain(check, (struct sg_config_key){parent, "alg"},
                           "is missing; expected one of %s", known);
    } else {
        sg_config_complain(check, (struct sg_config_key){parent, "alg"},
                           "\"%.32s\" is not an algorithm; expected one of %s", text, known);
    }
}

/* The keyset before this one that has the name; false if none has. */
static bool config_find_name(const struct sg_config_check *check, const struct sg_config *config,
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

static void config_read_name(struct sg_config_check *check, const char *parent,
                             const struct sg_config *config, const char *text, char **out)
{
    struct sg_config_key key = {parent, "name"};
    uint32_t other = 0;
    if (!sg_config_check_name(check, key, text)) {
        return;
    }
    if (strcmp(text, SG_CONFIG_AUDIT_KEYSET) == 0) {
        sg_config_complain(check, key,
                           "\"%s\" is the keyset of the audit's own; expected another name", text);
        return;
    }
    if (config_find_name(check, config, text, &other)) {
        sg_config_complain(check, key, "\"%s\" is the name of keysets[%u] too; expected another",
                           text, other);
        return;
    }
    sg_name_index_put(&check->names, text, strlen(text), (uint32_t)config->num_keysets);
    *out = sg_config_copy(check, text);
}

static void config_read_ttls(struct sg_config_check *check, const char *parent,
                             const struct sg_config_text_keyset *text,
                             struct sg_config_keyset *keyset)
{
    keyset->default_ttl_s = 900;
    keyset->max_ttl_s = 86400;
    sg_config_read_duration(check, (struct sg_config_key){parent, "max_ttl"}, text->max_ttl, 1,
                            SG_CONFIG_MAX_TTL_S, &keyset->max_ttl_s);
    sg_config_read_duration(check, (struct sg_config_key){parent, "default_ttl"}, text->default_ttl,
                            1, SG_CONFIG_MAX_TTL_S, &keyset->default_ttl_s);
    if (keyset->default_ttl_s > keyset->max_ttl_s) {
        if (text->default_ttl == NULL) {
            keyset->default_ttl_s = keyset->max_ttl_s;
            return;
        }
        sg_config_complain(check, (struct sg_config_key){parent, "default_ttl"},
                           "%u s is more than max_ttl; expected at most %u s",
                           keyset->default_ttl_s, keyset->max_ttl_s);
    }
}

static void config_read_rotate_every(struct sg_config_check *check, const char *parent,
                                     const char *text, uint32_t *out)
{
    uint64_t seconds = 0;
    if (text == NULL) {
        return;
    }
    if (strcmp(text, SG_CONFIG_ROTATE_NEVER) == 0) {
        *out = 0;
        return;
    }
    if (!sg_config_parse_duration(text, &seconds) || seconds < CONFIG_MIN_ROTATE_S ||
        seconds > CONFIG_MAX_ROTATE_S) {
        sg_config_complain(
            check, (struct sg_config_key){parent, "rotate_every"},
            "\"%.64s\" is not good; expected a duration of %u s to %u s such as 30d, "
            "or %s",
            text, CONFIG_MIN_ROTATE_S, CONFIG_MAX_ROTATE_S, SG_CONFIG_ROTATE_NEVER);
        return;
    }
    *out = (uint32_t)seconds;
}

/* A key is published after the one before it began to sign, so that no more than one ever waits. */
static void config_read_rotation(struct sg_config_check *check, const char *parent,
                                 const struct sg_config_text_keyset *text,
                                 struct sg_config_keyset *keyset)
{
    keyset->rotate_every_s = 30 * 86400;
    keyset->publish_lead_s = 3600;
    config_read_rotate_every(check, parent, text->rotate_every, &keyset->rotate_every_s);
    sg_config_read_duration(check, (struct sg_config_key){parent, "overlap"}, text->overlap, 0,
                            CONFIG_MAX_OVERLAP_S, &keyset->overlap_s);
    if (keyset->rotate_every_s != 0 && keyset->publish_lead_s > keyset->rotate_every_s / 2) {
        keyset->publish_lead_s = keyset->rotate_every_s / 2;
    }
    sg_config_read_duration(check, (struct sg_config_key){parent, "publish_lead"},
                            text->publish_lead, 0, CONFIG_MAX_LEAD_S, &keyset->publish_lead_s);
    if (keyset->rotate_every_s != 0 && keyset->publish_lead_s >= keyset->rotate_every_s) {
        sg_config_complain(check, (struct sg_config_key){parent, "publish_lead"},
                           "%u s is not less than rotate_every; expected at most %u s",
                           keyset->publish_lead_s, keyset->rotate_every_s - 1);
    }
}

static void config_read_rsa_bits(struct sg_config_check *check, const char *parent,
                                 const char *text, struct sg_config_keyset *keyset)
{
    struct sg_config_key key = {parent, "rsa_bits"};
    if (!config_is_rsa(keyset->alg)) {
        if (text != NULL && keyset->alg != SG_ALG_UNSET) {
            sg_config_complain(check, key, "%s has no RSA key; expected no rsa_bits here",
                               keyset->alg_name);
        }
        return;
    }
    keyset->rsa_bits = SG_MIN_RSA_BITS;
    sg_config_read_number(check, key, text, SG_MIN_RSA_BITS, SG_MAX_RSA_BITS, &keyset->rsa_bits);
    if (keyset->rsa_bits % 256 != 0) {
        sg_config_complain(check, key, "%u is not good; expected a multiple of 256, such as 3072",
                           keyset->rsa_bits);
    }
}

static void config_read_keyset(struct sg_config_check *check, const struct sg_config *config,
                               const struct sg_config_text_keyset *text,
                               struct sg_config_keyset *keyset)
{
    char parent[32];
    (void)snprintf(parent, sizeof(parent), "keysets[%zu]", config->num_keysets);
    config_read_name(check, parent, config, text->name, &keyset->name);
    config_read_alg(check, parent, text->alg, keyset);
    if (text->issuer == NULL || !config_is_issuer(text->issuer)) {
        sg_config_complain(check, (struct sg_config_key){parent, "issuer"},
                           "%s; expected a name or a URI of 1 to %u bytes, such as "
                           "https://login.example",
                           text->issuer != NULL ? "is not good" : "is missing", SG_MAX_ISSUER_LEN);
    } else {
        keyset->issuer = sg_config_copy(check, text->issuer);
    }
    if (text->typ != NULL && !sg_config_is_typ(text->typ)) {
        sg_config_complain(check, (struct sg_config_key){parent, "typ"},
                           "\"%.80s\" is not good; expected a media type such as JWT or at+jwt",
                           text->typ);
    } else {
        keyset->typ = sg_config_copy(check, text->typ != NULL ? text->typ : "JWT");
    }
    config_read_ttls(check, parent, text, keyset);
    config_read_rotation(check, parent, text, keyset);
    config_read_rsa_bits(check, parent, text->rsa_bits, keyset);
}

void sg_config_read_keysets(struct sg_config_check *check, const struct sg_config_text *text,
                            struct sg_config *config)
{
    struct sg_config_key key = {"", "keysets"};
    if (text->keysets_count == 0 || text->keysets_count > CONFIG_MAX_KEYSETS) {
        sg_config_complain(check, key, "%u keysets; expected 1 to %u", text->keysets_count,
                           CONFIG_MAX_KEYSETS);
        return;
    }
    config->keysets = calloc(text->keysets_count, sizeof(*config->keysets));
    if (config->keysets == NULL || !sg_name_index_init(&check->names, text->keysets_count)) {
        sg_config_complain_at(check, 0, "no memory to read it");
        return;
    }
    for (unsigned i = 0; i < text->keysets_count; i++) {
        config_read_keyset(check, config, &text->keysets[i], &config->keysets[i]);
        config->num_keysets++;
    }
    sg_name_index_fini(&check->names);
}
