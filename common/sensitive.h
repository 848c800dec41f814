/* SPDX-License-Identifier: Apache-2.0
 *
 * What does not belong where anyone can read it, such as a token's claims: names that suggest a secret, and
 * the numbers of payment cards. One list for the daemon, which refuses them, and for `signet inspect`, which
 * warns. A guess, by design: it must miss rather than hinder, and is no protection against intent. Knows no
 * JSON.
 */
#ifndef SG_SENSITIVE_H
#define SG_SENSITIVE_H

#include <stdbool.h>
#include <stddef.h>

/* sg_sensitive_name says whether what has this name is probably a secret: its last words are, without case and
 * whatever is between them, one of a list ("password", "Client-Secret", "db.apiKey", "passwords_2"). What
 * only tells of one is not ("password_expires_at", "access_key_id"), nor is a word that has one within
 * ("secretary", "pinned"). */
bool sg_sensitive_name(const char *name);

/* sg_sensitive_is_card_number says whether len bytes of text are the number of a payment card: 13 to 19
 * digits, which may have single spaces or dashes between them, as many as the cards have whose numbers begin
 * like this, and with the right check digit (ISO/IEC 7812-1, Luhn). */
bool sg_sensitive_is_card_number(const char *text, size_t len);

#endif
