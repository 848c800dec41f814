/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder in the configuration.
 */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "server/config_sections.h"
#include "server/keyholder/keyholder.h"

/* With its NUL. */
#define CONFIG_MAX_SOCKET (sizeof(((struct sockaddr_un *)0)->sun_path))

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

static void config_complain_protection(struct sg_config_check *check, const char *name,
                                       const char *text)
{
    char known[200] = "";
    size_t used = 0;
    for (unsigned i = 0; i < SG_NUM_PROTECTIONS && used < sizeof(known); i++) {
        int len = snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
                           sg_keyholder_protection_name(i));
        used += len > 0 ? (size_t)len : 0;
    }
    sg_config_complain(check, (struct sg_config_key){"keyholder", name},
                       "\"%.32s\" is not a protection; expected one of %s", text, known);
}

static void config_read_required(struct sg_config_check *check,
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
            sg_config_complain(
                check, (struct sg_config_key){"keyholder", name},
                "%s cannot hold; expected keyholder.user or keyholder.socket with it",
                text->require[i]);
        }
        keyholder->required |= bit;
    }
}

/* What runs as the daemon's user is the daemon's to trace and to stop, and root's rights are just what the
 * keyholder is to be without. Other names for one uid are found at the start. */
void sg_config_check_keyholder_user(struct sg_config_check *check, struct sg_config_key key,
                                    const struct sg_config *config)
{
    const char *user = config->keyholder.user;
    if (user == NULL) {
        return;
    }
    if (config->user != NULL && strcmp(user, config->user) == 0) {
        sg_config_complain(
            check, key,
            "\"%s\" is the daemon's user too, so that own_user would not hold; expected "
            "a user of the keyholder's own, such as signet-keys",
            user);
    } else if (strcmp(user, "root") == 0) {
        sg_config_complain(
            check, key,
            "root may do more than the keyholder needs; expected a user of its own, such "
            "as signet-keys");
    }
}

void sg_config_read_keyholder(struct sg_config_check *check,
                              const struct sg_config_text_keyholder *text, struct sg_config *config)
{
    struct sg_config_key user = {"keyholder", "user"};
    sg_config_read_user(check, user, text->user, &config->keyholder.user);
    sg_config_check_keyholder_user(check, user, config);
    sg_config_read_path(check, (struct sg_config_key){"keyholder", "socket"}, text->socket, NULL,
                        CONFIG_MAX_SOCKET - 1, &config->keyholder.socket);
    if (text->user != NULL && text->socket != NULL) {
        sg_config_complain(
            check, user,
            "who starts the keyholder on keyholder.socket also chooses its user; expected "
            "one of the two only");
    }
    config_read_required(check, text, &config->keyholder);
}
