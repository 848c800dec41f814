/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections of the configuration, each read by a file of its own: from the texts of signet.yaml to what
 * server/config.h declares. What is not good is a complaint, and what was read until then is freed by
 * sg_config_free. Private to config*.c.
 */
#ifndef SG_CONFIG_SECTIONS_H
#define SG_CONFIG_SECTIONS_H

#include "server/config.h"
#include "server/config_text.h"
#include "server/config_values.h"

#define SG_CONFIG_ROTATE_NEVER "never"
#define SG_CONFIG_OFF          "off"

void sg_config_read_limits(struct sg_config_check *check, const struct sg_config_text_limits *text,
                           struct sg_config_limits *limits);

/* After config->user. */
void sg_config_read_keyholder(struct sg_config_check *check,
                              const struct sg_config_text_keyholder *text,
                              struct sg_config *config);
/* sg_config_check_keyholder_user complains of a user of the keyholder that it may not be. */
void sg_config_check_keyholder_user(struct sg_config_check *check, struct sg_config_key key,
                                    const struct sg_config *config);

void sg_config_read_keysets(struct sg_config_check *check, const struct sg_config_text *text,
                            struct sg_config *config);

/* Without a section, the audit is in state_dir, or off with ephemeral keys: after both. */
void sg_config_read_audit(struct sg_config_check *check, const struct sg_config_text_audit *text,
                          struct sg_config *config);

void sg_config_read_grants(struct sg_config_check *check, const struct sg_config_text *text,
                           struct sg_config *config);
void sg_config_free_grants(struct sg_config *config);

/* Parts of one grant; parent is its path, such as "grants[3]". */
void sg_config_read_who(struct sg_config_check *check, const char *parent,
                        const struct sg_config_text_who *text, struct sg_config_who *who);
void sg_config_read_claims(struct sg_config_check *check, const char *parent,
                           const struct sg_config_text_claims *text,
                           struct sg_config_claim_rules *claims);
void sg_config_free_claims(struct sg_config_claim_rules *claims);

/* sg_config_prepare_names has the C library load all that it finds users and groups with, the first time. A daemon
 * that is confined cannot load code any more, and is to know the same names at a reload as at the start. Blocks
 * for a lookup of a user and of a group. */
void sg_config_prepare_names(void);

#endif
