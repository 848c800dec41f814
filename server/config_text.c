/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema of signet.yaml.
 */
#include "server/config_text.h"

#include "server/yaml_text.h"

/* Whether something is there is judged later, with a line. */
static const cyaml_schema_field_t text_keyset_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, name),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, alg),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, issuer),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, typ),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, default_ttl),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, max_ttl),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, rsa_bits),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, rotate_every),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, publish_lead),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyset, overlap),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_keyset_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sg_config_text_keyset, text_keyset_fields),
};

static const cyaml_schema_field_t text_limits_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_connections),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_connections_per_uid),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_in_flight),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_in_flight_per_connection),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_in_flight_per_uid),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_buffer_mib),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_cached_macs),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, idle_timeout),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, workers),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, cpu_per_uid),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, cpu_burst),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, consumed_per_uid),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_keystore_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_keystore, key),
    CYAML_FIELD_END,
};

/* What lists of texts hold. */
static const cyaml_schema_value_t text_entry_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

/* A list that is not there has no entries. How many there may be is judged later, with a line. */
#define TEXT_LIST_FIELD(structure, member, entry)                                                  \
    CYAML_FIELD_SEQUENCE(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member,     \
                         &(entry), 0, CYAML_UNLIMITED)

static const cyaml_schema_field_t text_keyholder_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyholder, user),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyholder, socket),
    TEXT_LIST_FIELD(struct sg_config_text_keyholder, require, text_entry_schema),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_audit_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, dir),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, on_full),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, verifications),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, max_file_mib),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, max_file_age),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, max_files),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, queue_kib),
    SG_YAML_TEXT_FIELD(struct sg_config_text_audit, head_every),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_who_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, user),
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, group),
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, exe),
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, exe_sha256),
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, unit),
    SG_YAML_TEXT_FIELD(struct sg_config_text_who, anybody),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_forced_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_forced, name),
    SG_YAML_TEXT_FIELD(struct sg_config_text_forced, value),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_forced_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sg_config_text_forced, text_forced_fields),
};

static const cyaml_schema_field_t text_claims_fields[] = {
    TEXT_LIST_FIELD(struct sg_config_text_claims, allowed, text_entry_schema),
    TEXT_LIST_FIELD(struct sg_config_text_claims, required, text_entry_schema),
    TEXT_LIST_FIELD(struct sg_config_text_claims, denied, text_entry_schema),
    TEXT_LIST_FIELD(struct sg_config_text_claims, forced, text_forced_schema),
    TEXT_LIST_FIELD(struct sg_config_text_claims, audiences, text_entry_schema),
    SG_YAML_TEXT_FIELD(struct sg_config_text_claims, subject),
    SG_YAML_TEXT_FIELD(struct sg_config_text_claims, max_ttl),
    SG_YAML_TEXT_FIELD(struct sg_config_text_claims, max_payload),
    SG_YAML_TEXT_FIELD(struct sg_config_text_claims, allow_sensitive),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_grant_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_grant, name),
    CYAML_FIELD_MAPPING("who", CYAML_FLAG_OPTIONAL, struct sg_config_text_grant, who,
                        text_who_fields),
    TEXT_LIST_FIELD(struct sg_config_text_grant, may, text_entry_schema),
    TEXT_LIST_FIELD(struct sg_config_text_grant, keysets, text_entry_schema),
    SG_YAML_TEXT_FIELD(struct sg_config_text_grant, max_live_tokens),
    CYAML_FIELD_MAPPING("claims", CYAML_FLAG_OPTIONAL, struct sg_config_text_grant, claims,
                        text_claims_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_grant_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct sg_config_text_grant, text_grant_fields),
};

static const cyaml_schema_field_t text_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text, runtime_dir),
    SG_YAML_TEXT_FIELD(struct sg_config_text, state_dir),
    SG_YAML_TEXT_FIELD(struct sg_config_text, user),
    SG_YAML_TEXT_FIELD(struct sg_config_text, socket_mode),
    SG_YAML_TEXT_FIELD(struct sg_config_text, trust_dir),
    CYAML_FIELD_MAPPING("keystore", CYAML_FLAG_OPTIONAL, struct sg_config_text, keystore,
                        text_keystore_fields),
    CYAML_FIELD_MAPPING("keyholder", CYAML_FLAG_OPTIONAL, struct sg_config_text, keyholder,
                        text_keyholder_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct sg_config_text, limits,
                        text_limits_fields),
    CYAML_FIELD_MAPPING("audit", CYAML_FLAG_OPTIONAL, struct sg_config_text, audit,
                        text_audit_fields),
    TEXT_LIST_FIELD(struct sg_config_text, keysets, text_keyset_schema),
    TEXT_LIST_FIELD(struct sg_config_text, grants, text_grant_schema),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sg_config_text, text_fields),
};

signet_status sg_config_text_read(const uint8_t *bytes, size_t len,
                                  const struct sg_config_lines *lines, struct sg_config_text **out,
                                  struct sg_config_fault *fault)
{
    void *text = NULL;
    signet_status status = sg_yaml_text_read(bytes, len, lines, &text_schema, &text, fault);
    if (status == SIGNET_OK) {
        *out = text;
    }
    return status;
}

void sg_config_text_free(struct sg_config_text *text)
{
    sg_yaml_text_free(&text_schema, text);
}
