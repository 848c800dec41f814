/* SPDX-License-Identifier: Apache-2.0
 *
 * What callers of either kind of keyholder share: the way to its operations, and the names of what
 * protects it.
 */
#include "server/keyholder/keystore_door.h"

signet_status sg_keyholder_call(struct sg_keyholder *keyholder,
                                const struct sg_keyholder_request *requests, size_t num,
                                const uint8_t *bytes, size_t bytes_len,
                                struct sg_keyholder_reply *replies)
{
    if (keyholder == NULL || requests == NULL || replies == NULL || num == 0 ||
        num > SG_MAX_BATCH || (bytes == NULL && bytes_len > 0)) {
        return SIGNET_INVALID_ARGUMENT;
    }
    return keyholder->ops->call(keyholder, requests, num, bytes, bytes_len, replies);
}

signet_status sg_keyholder_keystore(struct sg_keyholder *keyholder,
                                    const struct sg_keystore_request *request,
                                    struct sg_keystore_reply *reply)
{
    if (keyholder == NULL || request == NULL || reply == NULL) {
        return SIGNET_INVALID_ARGUMENT;
    }
    return keyholder->ops->keystore(keyholder, request, reply);
}

void sg_keyholder_cross(struct sg_keyholder *keyholder,
                        struct sg_keyholder_crossing *const *crossings, size_t num,
                        const struct sg_keyholder_delay *delay)
{
    if (keyholder->ops->cross != NULL) {
        keyholder->ops->cross(keyholder, crossings, num, delay);
        return;
    }
    for (size_t i = 0; i < num; i++) {
        struct sg_keyholder_crossing *crossing = crossings[i];
        crossing->status =
            sg_keyholder_call(keyholder, crossing->requests, crossing->num, crossing->bytes,
                              crossing->bytes_len, crossing->replies);
    }
}

const char *sg_keyholder_protection_name(unsigned index)
{
    static const char *const names[] = {"own_user",      "locked_keys", "locked_memory",
                                        "secret_memory", "undumpable",  "no_capabilities",
                                        "seccomp",       "landlock"};
    _Static_assert(sizeof(names) / sizeof(names[0]) == SG_NUM_PROTECTIONS, "one name a bit");
    return index < SG_NUM_PROTECTIONS ? names[index] : NULL;
}
