/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit in the configuration.
 */
#include <stdio.h>
#include <string.h>

#include "server/config_sections.h"

#define CONFIG_MAX_AGE_S  (366u * 86400u)
#define CONFIG_MAX_HEAD_S 86400u

static struct sg_config_audit config_default_audit(void)
{
    return (struct sg_config_audit){
        .on_full = SG_AUDIT_BLOCK,
        .max_file_mib = 64,
        .max_file_age_s = 86400,
        .queue_kib = 4096,
        .head_every_s = 60,
    };
}

/* Below state_dir, which is not there if it was not good. */
static void config_default_audit_dir(struct sg_config_check *check, struct sg_config *config)
{
    char path[SG_CONFIG_MAX_DIR_LEN + sizeof("/audit")];
    if (config->state_dir == NULL || config->keystore_key == NULL ||
        sg_config_is_ephemeral(config)) {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/audit", config->state_dir);
    config->audit.dir = sg_config_copy(check, path);
}

static void config_read_audit_dir(struct sg_config_check *check, const char *text,
                                  struct sg_config *config)
{
    if (text == NULL) {
        config_default_audit_dir(check, config);
    } else if (strcmp(text, SG_CONFIG_OFF) == 0) {
        config->audit.dir = NULL;
    } else if (!sg_config_is_path(text, SG_CONFIG_MAX_DIR_LEN)) {
        sg_config_complain(check, (struct sg_config_key){"audit", "dir"},
                           "\"%.128s\" is not good; expected an absolute path of at most %u bytes, "
                           "without empty parts, \".\" and \"..\", or " SG_CONFIG_OFF,
                           text, SG_CONFIG_MAX_DIR_LEN);
    } else {
        config->audit.dir = sg_config_copy(check, text);
    }
}

static void config_read_on_full(struct sg_config_check *check, const char *text,
                                enum sg_audit_on_full *out)
{
    static const struct {
        const char *name;
        enum sg_audit_on_full value;
    } modes[] = {{"block", SG_AUDIT_BLOCK}, {"deny", SG_AUDIT_DENY}, {"drop", SG_AUDIT_DROP}};
    for (size_t i = 0; text != NULL && i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(text, modes[i].name) == 0) {
            *out = modes[i].value;
            return;
        }
    }
    if (text != NULL) {
        sg_config_complain(check, (struct sg_config_key){"audit", "on_full"},
                           "\"%.64s\" is not good; expected block, deny or drop", text);
    }
}

void sg_config_read_audit(struct sg_config_check *check, const struct sg_config_text_audit *text,
                          struct sg_config *config)
{
    struct sg_config_audit *audit = &config->audit;
    *audit = config_default_audit();
    config_read_audit_dir(check, text->dir, config);
    config_read_on_full(check, text->on_full, &audit->on_full);
    sg_config_read_flag(check, (struct sg_config_key){"audit", "verifications"},
                        text->verifications, &audit->verifications);
    sg_config_read_number(check, (struct sg_config_key){"audit", "max_file_mib"},
                          text->max_file_mib, 1, 4096, &audit->max_file_mib);
    sg_config_read_duration(check, (struct sg_config_key){"audit", "max_file_age"},
                            text->max_file_age, 1, CONFIG_MAX_AGE_S, &audit->max_file_age_s);
    sg_config_read_number(check, (struct sg_config_key){"audit", "max_files"}, text->max_files, 0,
                          65536, &audit->max_files);
    sg_config_read_number(check, (struct sg_config_key){"audit", "queue_kib"}, text->queue_kib, 256,
                          65536, &audit->queue_kib);
    sg_config_read_duration(check, (struct sg_config_key){"audit", "head_every"}, text->head_every,
                            1, CONFIG_MAX_HEAD_S, &audit->head_every_s);
}

/* Its one key stays until an operator rotates it: heads have no expiry, and who keeps one wants to find its key. */
const struct sg_config_keyset *sg_config_audit_keyset(const struct sg_config *config)
{
    static char name[] = SG_CONFIG_AUDIT_KEYSET;
    static char alg_name[] = "EdDSA";
    static char typ[] = "signet-audit-head+jws";
    static const struct sg_config_keyset keyset = {
        .name = name,
        .alg_name = alg_name,
        .alg = SG_ALG_ED25519,
        .issuer = name,
        .typ = typ,
        .default_ttl_s = 1,
        .max_ttl_s = 1,
        .is_internal = true,
    };
    return config->audit.dir != NULL ? &keyset : NULL;
}
