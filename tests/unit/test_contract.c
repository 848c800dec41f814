/* SPDX-License-Identifier: Apache-2.0
 *
 * What must be true of the contract as a whole, read from protobuf-c's generated descriptors, so
 * that a later message cannot break it unnoticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/limits.h"
#include "common/rpc.h"
#include "signet/rpc/v1/rpc.pb-c.h"
#include "signet/v1/admin.pb-c.h"
#include "signet/v1/health.pb-c.h"
#include "signet/v1/key.pb-c.h"
#include "signet/v1/token.pb-c.h"

#define CONTRACT_MAX_MESSAGES 128

static const ProtobufCServiceDescriptor *const contract_services[] = {
    &signet__v1__admin_service__descriptor,
    &signet__v1__health_service__descriptor,
    &signet__v1__key_service__descriptor,
    &signet__v1__token_service__descriptor,
};
#define CONTRACT_NUM_SERVICES (sizeof(contract_services) / sizeof(contract_services[0]))

/* Messages, each once, in the order in which they were met. */
struct contract_set {
    const ProtobufCMessageDescriptor *messages[CONTRACT_MAX_MESSAGES];
    size_t num;
};

static void contract_set_add(struct contract_set *set, const ProtobufCMessageDescriptor *message)
{
    for (size_t i = 0; i < set->num; i++) {
        if (set->messages[i] == message) {
            return;
        }
    }
    assert_true(set->num < CONTRACT_MAX_MESSAGES);
    set->messages[set->num++] = message;
}

static const ProtobufCMessageDescriptor *
contract_field_message(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE ? field->descriptor : NULL;
}

/* Adds what the set's messages contain, from the message at first on, at any depth. */
static void contract_set_close(struct contract_set *set, size_t first)
{
    for (size_t i = first; i < set->num; i++) { /* the set grows meanwhile */
        const ProtobufCMessageDescriptor *message = set->messages[i];
        for (unsigned f = 0; f < message->n_fields; f++) {
            const ProtobufCMessageDescriptor *inner = contract_field_message(&message->fields[f]);
            if (inner != NULL) {
                contract_set_add(set, inner);
            }
        }
    }
}

/* Everything that can be on the wire. */
static void contract_set_all(struct contract_set *set)
{
    set->num = 0;
    contract_set_add(set, &signet__rpc__v1__request__descriptor);
    contract_set_add(set, &signet__rpc__v1__response__descriptor);
    for (size_t s = 0; s < CONTRACT_NUM_SERVICES; s++) {
        const ProtobufCServiceDescriptor *service = contract_services[s];
        for (unsigned m = 0; m < service->n_methods; m++) {
            contract_set_add(set, service->methods[m].input);
            contract_set_add(set, service->methods[m].output);
        }
    }
    contract_set_close(set, 0);
}

/* Whether message can be found inside itself. */
static bool contract_nests_itself(const ProtobufCMessageDescriptor *message)
{
    /* Its direct contents, closed; message itself is not in the set unless something leads back. */
    struct contract_set inside = {.num = 0};
    for (unsigned f = 0; f < message->n_fields; f++) {
        const ProtobufCMessageDescriptor *inner = contract_field_message(&message->fields[f]);
        if (inner != NULL) {
            contract_set_add(&inside, inner);
        }
    }
    contract_set_close(&inside, 0);
    for (size_t i = 0; i < inside.num; i++) {
        if (inside.messages[i] == message) {
            return true;
        }
    }
    return false;
}

/* protobuf-c's decoder has no recursion limit: a message that contains itself is a stack overflow. */
static void test_contract__no_message_contains_itself(void **state)
{
    (void)state;
    struct contract_set all;
    contract_set_all(&all);
    assert_true(all.num > 20);
    for (size_t i = 0; i < all.num; i++) {
        if (contract_nests_itself(all.messages[i])) {
            fail_msg("%s contains itself", all.messages[i]->name);
        }
    }
}

static void test_contract__search_finds_nesting_through_others(void **state)
{
    (void)state;
    ProtobufCMessageDescriptor outer = {.name = "Outer", .n_fields = 1};
    ProtobufCMessageDescriptor inner = {.name = "Inner", .n_fields = 1};
    const ProtobufCFieldDescriptor to_inner = {.type = PROTOBUF_C_TYPE_MESSAGE,
                                               .descriptor = &inner};
    const ProtobufCFieldDescriptor to_outer = {.type = PROTOBUF_C_TYPE_MESSAGE,
                                               .descriptor = &outer};
    const ProtobufCFieldDescriptor number = {.type = PROTOBUF_C_TYPE_INT32};

    outer.fields = &to_inner;
    inner.fields = &to_outer;
    assert_true(contract_nests_itself(&outer));
    assert_true(contract_nests_itself(&inner));
    inner.fields = &number;
    assert_false(contract_nests_itself(&outer));
}

/* A required field that is missing fails the whole decoding, and can never be taken away again. */
static void test_contract__no_field_is_required(void **state)
{
    (void)state;
    struct contract_set all;
    contract_set_all(&all);
    for (size_t i = 0; i < all.num; i++) {
        for (unsigned f = 0; f < all.messages[i]->n_fields; f++) {
            assert_int_not_equal(all.messages[i]->fields[f].label, PROTOBUF_C_LABEL_REQUIRED);
        }
    }
}

static bool contract_ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text);
    size_t end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

/* Zero is what a cleared or cut message holds: no enum may give it a meaning. */
static void test_contract__zero_of_every_enum_says_nothing(void **state)
{
    (void)state;
    struct contract_set all;
    contract_set_all(&all);
    size_t num_enums = 0;
    for (size_t i = 0; i < all.num; i++) {
        for (unsigned f = 0; f < all.messages[i]->n_fields; f++) {
            const ProtobufCFieldDescriptor *field = &all.messages[i]->fields[f];
            if (field->type != PROTOBUF_C_TYPE_ENUM) {
                continue;
            }
            num_enums++;
            const ProtobufCEnumValue *zero =
                protobuf_c_enum_descriptor_get_value(field->descriptor, 0);
            assert_non_null(zero);
            assert_true(contract_ends_with(zero->name, "UNSPECIFIED") ||
                        strcmp(zero->name, "UNKNOWN") == 0);
        }
    }
    assert_true(num_enums >= 3);
}

/* A verdict is one of several messages, so that an empty answer is none of them. */
static void test_contract__verdicts_are_oneofs(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *message;
        const char *field;
    } verdicts[] = {
        {&signet__rpc__v1__response__descriptor, "payload"},
        {&signet__rpc__v1__response__descriptor, "status"},
        {&signet__v1__verify_response__descriptor, "token"},
        {&signet__v1__verify_response__descriptor, "rejection"},
        {&signet__v1__verify_result__descriptor, "token"},
        {&signet__v1__verify_result__descriptor, "rejection"},
        {&signet__v1__verify_result__descriptor, "error"},
        {&signet__v1__sign_result__descriptor, "token"},
        {&signet__v1__sign_result__descriptor, "error"},
        {&signet__v1__reload_response__descriptor, "reloaded"},
        {&signet__v1__reload_response__descriptor, "refused"},
    };
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(verdicts[i].message, verdicts[i].field);
        assert_non_null(field);
        assert_true((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0);
    }
}

/* The names that both sides use are the names of the contract. */
static void test_contract__method_names_are_those_of_the_services(void **state)
{
    (void)state;
    static const char *const names[] = {
        SG_METHOD_SIGN,         SG_METHOD_VERIFY,           SG_METHOD_SIGN_BATCH,
        SG_METHOD_VERIFY_BATCH, SG_METHOD_GET_JWKS,         SG_METHOD_LIST_KEYSETS,
        SG_METHOD_HEALTH_CHECK, SG_METHOD_STATUS,           SG_METHOD_LIST_KEYS,
        SG_METHOD_ROTATE,       SG_METHOD_REVOKE_KEY,       SG_METHOD_GET_SEALING_KEY,
        SG_METHOD_IMPORT_KEY,   SG_METHOD_REKEY_KEYSTORE,   SG_METHOD_FINISH_REKEY,
        SG_METHOD_GET_KEYSTORE, SG_METHOD_RELOAD,           SG_METHOD_EXPLAIN_POLICY,
        SG_METHOD_LIST_GRANTS,  SG_METHOD_THAW_GRANT,       SG_METHOD_STATS,
        SG_METHOD_REVOKE,       SG_METHOD_LIST_REVOCATIONS,
    };
    size_t num_methods = 0;
    for (size_t s = 0; s < CONTRACT_NUM_SERVICES; s++) {
        const ProtobufCServiceDescriptor *service = contract_services[s];
        for (unsigned m = 0; m < service->n_methods; m++) {
            char full[SG_MAX_METHOD_LEN + 1];
            int len =
                snprintf(full, sizeof(full), "%s/%s", service->name, service->methods[m].name);
            assert_true(len > 0 && (size_t)len < sizeof(full));
            bool known = false;
            for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                known = known || strcmp(full, names[i]) == 0;
            }
            if (!known) {
                fail_msg("%s has no name in common/rpc.h", full);
            }
            num_methods++;
        }
    }
    assert_int_equal(num_methods, sizeof(names) / sizeof(names[0]));
}

/* No answer of any call has room for a private key or a secret: a key is told of in texts and numbers,
 * and the only bytes are those of the envelope, and of the public key that imports are sealed to. */
static void test_contract__no_answer_has_room_for_a_key(void **state)
{
    (void)state;
    struct contract_set answers = {.num = 0};
    size_t num_bytes = 0;
    for (size_t s = 0; s < CONTRACT_NUM_SERVICES; s++) {
        for (unsigned m = 0; m < contract_services[s]->n_methods; m++) {
            contract_set_add(&answers, contract_services[s]->methods[m].output);
        }
    }
    contract_set_close(&answers, 0);
    for (size_t i = 0; i < answers.num; i++) {
        for (unsigned f = 0; f < answers.messages[i]->n_fields; f++) {
            if (answers.messages[i]->fields[f].type == PROTOBUF_C_TYPE_BYTES) {
                assert_ptr_equal(answers.messages[i],
                                 &signet__v1__get_sealing_key_response__descriptor);
                assert_string_equal(answers.messages[i]->fields[f].name, "public_key");
                num_bytes++;
            }
        }
    }
    assert_int_equal(num_bytes, 1);
    /* Of one key there is told this, and nothing else. */
    static const char *const told[] = {"kid",          "state",       "created_at",
                                       "alg",          "sign_from",   "sign_until",
                                       "verify_until", "last_expiry", "last_expiry_is_exact",
                                       "revoked_at",   "imported",    "verify_only",
                                       "why"};
    assert_int_equal(signet__v1__key__descriptor.n_fields, sizeof(told) / sizeof(told[0]));
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        assert_non_null(
            protobuf_c_message_descriptor_get_field_by_name(&signet__v1__key__descriptor, told[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract__no_message_contains_itself),
        cmocka_unit_test(test_contract__search_finds_nesting_through_others),
        cmocka_unit_test(test_contract__no_field_is_required),
        cmocka_unit_test(test_contract__zero_of_every_enum_says_nothing),
        cmocka_unit_test(test_contract__verdicts_are_oneofs),
        cmocka_unit_test(test_contract__method_names_are_those_of_the_services),
        cmocka_unit_test(test_contract__no_answer_has_room_for_a_key),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
