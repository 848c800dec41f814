/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's figures as JSON: every field under the name that the contract gives it, so that none is
 * forgotten, and a few that people would have to compute.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/output.h"
#include "client/cli/stats.h"

/* Goes as deep as the contract nests messages, which contain none of their own kind. */
static json_t *figures_message(const ProtobufCMessage *message);

static json_t *figures_number(ProtobufCType type, const uint8_t *at)
{
    int32_t narrow = 0;
    int64_t wide = 0;
    if (type == PROTOBUF_C_TYPE_UINT32) {
        memcpy(&narrow, at, sizeof(narrow));
        return json_integer((uint32_t)narrow);
    }
    memcpy(&wide, at, sizeof(wide));
    return json_integer(wide >= 0 || type == PROTOBUF_C_TYPE_INT64 ? wide : INT64_MAX);
}

/* What is not UTF-8 is escaped: JSON has no bytes. */
static json_t *figures_text(const char *text)
{
    json_t *value = json_string(text);
    if (value == NULL) {
        char *escaped = cli_escape(text, strlen(text));
        value = json_string(escaped);
        free(escaped);
    }
    return value;
}

/* The value at a place in a message. The only enum in these messages says why tokens are refused. */
static json_t *figures_value(const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
    int32_t number = 0;
    protobuf_c_boolean is_true = 0;
    const void *pointer = NULL;
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
        memcpy(&pointer, at, sizeof(pointer));
        if (pointer == NULL) {
            return json_null();
        }
        return field->type == PROTOBUF_C_TYPE_STRING ? figures_text(pointer)
                                                     : figures_message(pointer);
    }
    if (field->type == PROTOBUF_C_TYPE_BOOL) {
        memcpy(&is_true, at, sizeof(is_true));
        return json_boolean(is_true);
    }
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        memcpy(&number, at, sizeof(number));
        return number == SIGNET_REASON_NONE
                   ? json_null()
                   : json_string(signet_reason_name((signet_reason)number));
    }
    return figures_number(field->type, at);
}

static size_t figures_width(ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE) {
        return sizeof(void *);
    }
    return type == PROTOBUF_C_TYPE_UINT32 ? sizeof(uint32_t) : sizeof(uint64_t);
}

static json_t *figures_list(const ProtobufCFieldDescriptor *field, const uint8_t *fields)
{
    size_t num = 0;
    const uint8_t *items = NULL;
    json_t *list = cli_must(json_array());
    memcpy(&num, fields + field->quantifier_offset, sizeof(num));
    memcpy(&items, fields + field->offset, sizeof(items));
    for (size_t i = 0; i < num; i++) {
        (void)json_array_append_new(
            list, cli_must(figures_value(field, items + i * figures_width(field->type))));
    }
    return list;
}

static void figures_add(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, cli_must(value));
}

static void figures_add_quantiles(json_t *object, const Signet__V1__Durations *durations)
{
    figures_add(object, "num", json_integer((json_int_t)cli_durations_num(durations)));
    figures_add(object, "p50_us", json_integer((json_int_t)cli_durations_at(durations, 0.5)));
    figures_add(object, "p95_us", json_integer((json_int_t)cli_durations_at(durations, 0.95)));
    figures_add(object, "p99_us", json_integer((json_int_t)cli_durations_at(durations, 0.99)));
}

static json_t *figures_message(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    json_t *object = cli_must(json_object());
    if (type == &signet__v1__durations__descriptor) {
        figures_add_quantiles(object, (const Signet__V1__Durations *)message);
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        const uint8_t *fields = (const uint8_t *)message;
        figures_add(object, field->name,
                    field->label == PROTOBUF_C_LABEL_REPEATED
                        ? figures_list(field, fields)
                        : figures_value(field, fields + field->offset));
    }
    if (type == &signet__v1__result_count__descriptor) {
        uint32_t status = ((const Signet__V1__ResultCount *)message)->status;
        figures_add(object, "status", json_string(signet_status_name((signet_status)status)));
    }
    return object;
}

json_t *cli_stats_json(const Signet__V1__StatsResponse *stats, double seconds)
{
    json_t *object = figures_message(&stats->base);
    figures_add(object, "seconds", json_real(seconds));
    return object;
}
