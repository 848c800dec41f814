/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of the configuration that speak of the peer: ${peer.user}, ${peer.uid}, ${peer.gid} and ${peer.unit}
 * stand for what it is. What a peer has not, and what no template is called, is never an empty text: then the
 * text as a whole stands for nothing.
 */
#ifndef SG_TEMPLATE_H
#define SG_TEMPLATE_H

#include <signet/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/peer.h"

struct sg_template;

/* sg_template_new compiles text, and copies it. As a glob, each '*' of text is any run of characters; one of
 * the peer's is not. NULL without memory. */
struct sg_template *sg_template_new(const char *text, bool is_glob);
void sg_template_free(struct sg_template *template); /* NULL is legal */

/* sg_template_facts returns what of the peer it asks for; bits of enum sg_peer_fact. */
unsigned sg_template_facts(const struct sg_template *template);

/* sg_template_unknown returns what it speaks of and the peer has not: "user" or "unit", or "template" for
 * what no template is called; NULL: the peer has all. A user or unit that is not UTF-8 is one that it
 * has not. facts NULL: nothing is known. Static. */
const char *sg_template_unknown(const struct sg_template *template,
                                const struct sg_peer_facts *facts);

/* sg_template_is_number says whether it is nothing but the peer's uid or gid, and which number that is. */
bool sg_template_is_number(const struct sg_template *template, const struct sg_peer *peer,
                           uint32_t *out);

/* sg_template_max_len returns the length, without a NUL, up to which it can grow. */
size_t sg_template_max_len(const struct sg_template *template);

/* sg_template_fill writes the text for a peer, with a NUL. out has room for sg_template_max_len and the NUL.
 * False if the peer has not all that it speaks of, and for a glob with a star. */
bool sg_template_fill(const struct sg_template *template, const struct sg_peer *peer,
                      const struct sg_peer_facts *facts, char *out) SIGNET_MUST_CHECK;

/* sg_template_matches says whether text is the template's for the peer. False if the peer has not all that
 * it speaks of. Allocates nothing. */
bool sg_template_matches(const struct sg_template *template, const struct sg_peer *peer,
                         const struct sg_peer_facts *facts, const char *text);

#endif
