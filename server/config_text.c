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
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, max_buffer_mib),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, idle_timeout),
    SG_YAML_TEXT_FIELD(struct sg_config_text_limits, workers),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_keystore_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_keystore, key),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t text_protection_schema = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t text_keyholder_fields[] = {
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyholder, user),
    SG_YAML_TEXT_FIELD(struct sg_config_text_keyholder, socket),
    CYAML_FIELD_SEQUENCE("require", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct sg_config_text_keyholder, require, &text_protection_schema, 0,
                         CYAML_UNLIMITED),
    CYAML_FIELD_END,
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
    CYAML_FIELD_SEQUENCE("keysets", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct sg_config_text,
                         keysets, &text_keyset_schema, 0, CYAML_UNLIMITED),
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
