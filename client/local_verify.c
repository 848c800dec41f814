/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of server/verify.c, with the judgement of common/jose/judge. The keys of a board do not change, so that all
 * that follows from them is found out first; what may have been revoked is looked up last, between two generations that
 * are the same, and as of then a token is good.
 *
 * The daemon is asked whenever it could say something else than follows from the board: it knows of keys that came
 * since, until when their tokens are accepted, which options are none, and the secrets.
 */
#include "client/local_verify.h"

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/jose/claims.h"
#include "common/jose/describe.h"
#include "common/jose/judge.h"

/* A token may be judged that often while revocations come. */
#define JUDGE_MAX_LOOKS 8u
/* For describing one; most take no more than what is set aside. */
#define JUDGE_MAX_DESCRIPTION (8u << 20)
#define JUDGE_DESCRIPTION     1024u

/* One token. */
struct judge_case {
    struct sg_local_boards *boards;
    struct sg_local_headers *headers;
    struct sg_local_hold hold;
    const struct signet_verify_options *options;
    int64_t now;
    struct sg_verdict verdict; /* of one that is refused */
    const struct sg_local_key *candidates[SG_JUDGE_MAX_CANDIDATES];
    size_t num_candidates;
    bool is_secret;                       /* its keys are, which only the daemon has */
    const struct sg_local_key *signed_by; /* whose signature was found good */
    struct sg_jws jws;
};

/* What a step came to: ASK, NO_MEMORY, REFUSED, and GOOD to go on. */
static enum sg_local_outcome judge_outcome(struct judge_case *judged, struct sg_verdict verdict)
{
    judged->verdict = verdict;
    if (verdict.error != SIGNET_OK) {
        return SG_LOCAL_NO_MEMORY;
    }
    return verdict.reason == SIGNET_REASON_NONE ? SG_LOCAL_GOOD : SG_LOCAL_REFUSED;
}

/* ---- Options ---- */

/* Whether the daemon takes such text for sure. */
static bool text_is_plain(const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80) {
            return false; /* good if it is UTF-8 */
        }
    }
    return true;
}

static bool texts_are_plain(const char *const *texts, size_t num)
{
    bool is_plain = true;
    for (size_t i = 0; is_plain && i < num; i++) {
        is_plain = text_is_plain(texts[i]);
    }
    return is_plain;
}

static bool typ_is_plain(const char *typ)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789!#$&^_.+-/";
    return typ == NULL || typ[strspn(typ, allowed)] == '\0';
}

static bool options_are_plain(const struct signet_verify_options *options)
{
    bool is_plain = text_is_plain(options->issuer) && text_is_plain(options->subject) &&
                    typ_is_plain(options->typ) &&
                    texts_are_plain(options->audiences, options->num_audiences) &&
                    texts_are_plain(options->scopes, options->num_scopes);
    for (size_t i = 0; is_plain && i < options->num_scopes; i++) {
        is_plain = strchr(options->scopes[i], ' ') == NULL;
    }
    return is_plain;
}

/* The keyset that was asked for: only the daemon can say that there is none. */
static bool judge_knows_keyset(const struct judge_case *judged)
{
    struct sg_local_walk walk;
    return judged->options->keyset == NULL ||
           sg_local_keys_walk(judged->hold.keys, judged->options->keyset, &walk);
}

/* ---- Revocations ---- */

static bool board_finds(const struct sg_board *board, enum sg_board_kind kind, const char *scope,
                        size_t scope_len, const char *name, size_t name_len, int64_t *value)
{
    uint8_t digest[SG_BOARD_DIGEST_LEN];
    sg_board_digest(board, kind, scope, scope_len, name, name_len, digest);
    return sg_board_find(board, digest, value);
}

/* Whether all tokens of a key are. */
static bool key_is_revoked(const struct sg_board *board, const char *keyset, const char *kid)
{
    int64_t value = 0;
    return board_finds(board, SG_BOARD_KID, keyset, strlen(keyset), kid, strlen(kid), &value);
}

/* Whether the tokens were revoked that were issued until a second, this one among them. */
static bool claims_are_revoked(const struct sg_board *board, enum sg_board_kind kind,
                               const char *scope, const char *name, const struct sg_claims *claims)
{
    int64_t min_iat = 0;
    return board_finds(board, kind, scope, strlen(scope), name, strlen(name), &min_iat) &&
           (!claims->iat.present || claims->iat.seconds < min_iat);
}

/* NONE: it was not. */
static struct sg_verdict judge_revocations(const struct judge_case *judged,
                                           const struct sg_claims *claims)
{
    const struct sg_board *board = judged->hold.board;
    const struct sg_local_key *key = judged->signed_by;
    const char *issuer = key->signer.issuer;
    int64_t until = 0;
    if (key_is_revoked(board, key->keyset, key->kid) ||
        (claims->jti != NULL && board_finds(board, SG_BOARD_TOKEN, issuer, strlen(issuer),
                                            claims->jti, strlen(claims->jti), &until)) ||
        (claims->subject != NULL &&
         claims_are_revoked(board, SG_BOARD_SUBJECT, issuer, claims->subject, claims)) ||
        claims_are_revoked(board, SG_BOARD_KEYSET, "", key->keyset, claims)) {
        return sg_judge_revoked;
    }
    return (struct sg_verdict){.reason = SIGNET_REASON_NONE};
}

/* As of a moment in which the board counts and nothing is added to it. */
static enum sg_local_outcome judge_standing(struct judge_case *judged,
                                            const struct sg_claims *claims)
{
    for (unsigned i = 0; i < JUDGE_MAX_LOOKS; i++) {
        if (!sg_local_boards_renew(judged->boards, &judged->hold)) {
            return SG_LOCAL_ASK;
        }
        struct sg_verdict verdict = judge_revocations(judged, claims);
        if (sg_board_generation(judged->hold.board) == judged->hold.generation) {
            return judge_outcome(judged, verdict);
        }
    }
    return SG_LOCAL_ASK;
}

/* ---- Keys ---- */

static bool record_is_of(const struct sg_board_key *record, const char *keyset)
{
    return (record->flags & SG_BOARD_INTERNAL) == 0 &&
           (keyset == NULL || (strlen(keyset) == record->keyset.len &&
                               memcmp(keyset, record->keyset.bytes, record->keyset.len) == 0));
}

/* Whether tokens under it are accepted. The daemon may accept them for longer than was known when the board was made. */
static bool judge_key_use(const struct judge_case *judged, const struct sg_board_key *record,
                          enum sg_judge_use *use)
{
    if (record->revoked_at != 0) {
        *use = SG_JUDGE_KEY_REVOKED;
        return true;
    }
    *use = SG_JUDGE_IN_USE;
    return judged->now >= record->verify_from && judged->now < record->verify_until;
}

/* GOOD: to be gone on with. */
static enum sg_local_outcome judge_consider(struct judge_case *judged, size_t number,
                                            const struct sg_board_key *record,
                                            struct sg_verdict *refusal)
{
    enum sg_judge_use use = SG_JUDGE_ENDED;
    if (!record_is_of(record, judged->options->keyset)) {
        return SG_LOCAL_GOOD;
    }
    const struct sg_alg_info *info =
        record->alg < SG_ALG_COUNT ? sg_alg_info((enum sg_alg)record->alg) : NULL;
    if (info == NULL || !judge_key_use(judged, record, &use)) {
        return SG_LOCAL_ASK;
    }
    if (!sg_judge_consider(&judged->jws, info->alg, use, refusal)) {
        return SG_LOCAL_GOOD;
    }
    const struct sg_local_key *key = info->family != SG_FAMILY_HMAC
                                         ? sg_local_keys_get(judged->hold.keys, number, record)
                                         : NULL;
    if (key == NULL) {
        return SG_LOCAL_ASK;
    }
    judged->candidates[judged->num_candidates++] = key;
    return SG_LOCAL_GOOD;
}

/* A key that came since may be the one, or a keyset that is known to the daemon alone. */
static enum sg_local_outcome judge_without_key(struct judge_case *judged,
                                               const struct sg_verdict *refusal)
{
    return refusal->reason == SIGNET_REASON_UNKNOWN_KEY ? SG_LOCAL_ASK
                                                        : judge_outcome(judged, *refusal);
}

static enum sg_local_outcome judge_find_named_keys(struct judge_case *judged)
{
    struct sg_verdict refusal = sg_judge_kid_unknown;
    struct sg_board_search search;
    struct sg_board_key record;
    enum sg_local_outcome outcome = judged->jws.kid_len > 0 ? SG_LOCAL_GOOD : SG_LOCAL_ASK;
    sg_board_search_begin(judged->hold.board, judged->jws.kid, judged->jws.kid_len, &search);
    while (outcome == SG_LOCAL_GOOD && judged->num_candidates < SG_JUDGE_MAX_CANDIDATES &&
           sg_board_search_next(&search, &record)) {
        outcome = judge_consider(judged, search.found, &record, &refusal);
    }
    return outcome == SG_LOCAL_GOOD && judged->num_candidates == 0
               ? judge_without_key(judged, &refusal)
               : outcome;
}

static enum sg_local_outcome judge_find_keys_of_keyset(struct judge_case *judged)
{
    struct sg_verdict refusal = sg_judge_keyset_empty;
    struct sg_local_walk walk;
    struct sg_board_key record;
    size_t number = 0;
    if (judged->options->keyset == NULL) {
        return judge_outcome(judged, sg_judge_keyset_needed);
    }
    enum sg_local_outcome outcome =
        sg_local_keys_walk(judged->hold.keys, judged->options->keyset, &walk) ? SG_LOCAL_GOOD
                                                                              : SG_LOCAL_ASK;
    while (outcome == SG_LOCAL_GOOD && judged->num_candidates < SG_JUDGE_MAX_CANDIDATES &&
           sg_local_keys_next(&walk, &number)) {
        outcome = sg_board_key_at(judged->hold.board, number, &record)
                      ? judge_consider(judged, number, &record, &refusal)
                      : SG_LOCAL_ASK;
    }
    return outcome == SG_LOCAL_GOOD && judged->num_candidates == 0
               ? judge_without_key(judged, &refusal)
               : outcome;
}

static enum sg_local_outcome judge_signature(struct judge_case *judged)
{
    struct sg_verdict undecided = sg_judge_bad_signature;
    for (size_t i = 0; i < judged->num_candidates; i++) {
        const struct sg_local_key *key = judged->candidates[i];
        struct sg_verdict verdict = sg_public_key_verify(key->public_key, &judged->jws);
        if (verdict.reason == SIGNET_REASON_NONE) {
            judged->signed_by = key;
            return SG_LOCAL_GOOD;
        }
        undecided = verdict.error != SIGNET_OK ? verdict : undecided;
    }
    return judge_outcome(judged, undecided);
}

/* ---- The token ---- */

static enum sg_local_outcome judge_take_apart(struct judge_case *judged, const char *token,
                                              size_t token_len)
{
    struct sg_verdict verdict = sg_jws_split(token, token_len, &judged->jws);
    if (verdict.reason == SIGNET_REASON_NONE &&
        !sg_local_headers_use(judged->headers, &judged->jws)) {
        verdict = sg_jws_read_header(&judged->jws);
    }
    enum sg_local_outcome outcome = judge_outcome(judged, verdict);
    return outcome == SG_LOCAL_REFUSED && !judge_knows_keyset(judged) ? SG_LOCAL_ASK : outcome;
}

static enum sg_local_outcome judge_claims(struct judge_case *judged, const struct sg_claims *claims)
{
    const struct signet_verify_options *options = judged->options;
    const struct sg_expectation asked = {
        .now = judged->now,
        .leeway_s = options->leeway_s,
        .max_age_s = options->max_age_s,
        .audiences = options->audiences,
        .num_audiences = options->num_audiences,
        .any_audience = options->any_audience,
        .issuer = options->issuer,
        .subject = options->subject,
        .typ = options->typ,
        .scopes = options->scopes,
        .num_scopes = options->num_scopes,
    };
    return judge_outcome(judged,
                         sg_judge_claims(claims, &judged->jws, &judged->signed_by->signer, &asked));
}

/* ---- Good tokens ---- */

/* Owns all that its token points to. */
struct judge_body {
    struct sg_verified_body body;
    Signet__V1__VerifiedToken token;
    struct sg_claims claims;
    struct sg_arena arena;
    _Alignas(max_align_t) uint8_t memory[JUDGE_DESCRIPTION];
};

static void body_release(struct sg_verified_body *body)
{
    struct judge_body *whole = (struct judge_body *)body;
    _Static_assert(offsetof(struct judge_body, body) == 0, "the same address");
    sg_arena_fini(&whole->arena);
    sg_claims_fini(&whole->claims);
    free(whole);
}

static char *body_copy(struct judge_body *body, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = sg_arena_alloc(&body->arena, len);
    return copy != NULL ? memcpy(copy, text, len) : NULL;
}

/* What the board and the caller have of the token goes with it. */
static bool body_describe(struct judge_body *body, const struct judge_case *judged)
{
    const char *kid = body_copy(body, judged->signed_by->kid);
    const char *keyset = body_copy(body, judged->signed_by->keyset);
    if (kid == NULL || keyset == NULL ||
        !sg_describe(&body->claims, &judged->jws, kid, keyset, &body->arena, &body->token)) {
        return false;
    }
    body->token.typ = body_copy(body, body->token.typ);
    return body->token.typ != NULL;
}

/* Takes the claims over if it returns GOOD. */
static enum sg_local_outcome judge_describe(const struct judge_case *judged,
                                            const struct sg_claims *claims,
                                            struct sg_verified_body **out)
{
    struct judge_body *body = malloc(sizeof(*body));
    if (body == NULL) {
        return SG_LOCAL_NO_MEMORY;
    }
    body->claims = *claims;
    sg_arena_init_with(&body->arena, JUDGE_MAX_DESCRIPTION, body->memory, sizeof(body->memory));
    if (!body_describe(body, judged)) {
        sg_arena_fini(&body->arena);
        free(body);
        return SG_LOCAL_NO_MEMORY;
    }
    atomic_init(&body->body.num_refs, 1);
    body->body.token = &body->token;
    body->body.release = body_release;
    *out = &body->body;
    return SG_LOCAL_GOOD;
}

/* ---- All of it ---- */

static enum sg_local_outcome judge_payload(struct judge_case *judged, struct sg_verified_body **out)
{
    struct sg_claims claims = {0};
    enum sg_local_outcome outcome = judge_outcome(judged, sg_claims_parse(&judged->jws, &claims));
    if (outcome == SG_LOCAL_GOOD) {
        outcome = judge_claims(judged, &claims);
    }
    if (outcome == SG_LOCAL_GOOD) {
        outcome = judge_standing(judged, &claims);
    }
    if (outcome == SG_LOCAL_GOOD) {
        outcome = judge_describe(judged, &claims, out);
    }
    if (outcome != SG_LOCAL_GOOD) {
        sg_claims_fini(&claims);
        return outcome;
    }
    sg_local_headers_keep(judged->headers, &judged->jws);
    return SG_LOCAL_GOOD;
}

static enum sg_local_outcome judge_held(struct judge_case *judged, const char *token,
                                        size_t token_len, struct sg_verified_body **out)
{
    enum sg_local_outcome outcome = judge_take_apart(judged, token, token_len);
    if (outcome == SG_LOCAL_GOOD) {
        outcome =
            judged->jws.has_kid ? judge_find_named_keys(judged) : judge_find_keys_of_keyset(judged);
    }
    if (outcome == SG_LOCAL_GOOD) {
        outcome = judge_signature(judged);
    }
    return outcome == SG_LOCAL_GOOD ? judge_payload(judged, out) : outcome;
}

void sg_local_judge(struct sg_local_boards *boards, struct sg_local_headers *headers,
                    const char *token, size_t token_len,
                    const struct signet_verify_options *options, int64_t now,
                    struct sg_local_answer *answer)
{
    struct judge_case judged;
    memset(&judged, 0, offsetof(struct judge_case, jws)); /* its parser fills the rest */
    judged.boards = boards;
    judged.headers = headers;
    judged.options = options;
    judged.now = now;
    *answer = (struct sg_local_answer){.outcome = SG_LOCAL_ASK};
    if (!options_are_plain(options) || !sg_local_boards_hold(boards, &judged.hold)) {
        return;
    }
    answer->outcome = judge_held(&judged, token, token_len, &answer->body);
    sg_local_boards_release(&judged.hold);
    if (answer->outcome == SG_LOCAL_REFUSED) {
        answer->reason = judged.verdict.reason;
        answer->detail = judged.verdict.detail;
    }
}

/* ---- Spans ---- */

bool sg_local_key_span(const struct sg_local_hold *hold, const char *keyset, const char *kid,
                       struct sg_local_span *span)
{
    struct sg_local_span all = {INT64_MIN, INT64_MAX};
    struct sg_board_search search;
    struct sg_board_key record;
    size_t num = 0;
    if (kid[0] == '\0') {
        return false;
    }
    sg_board_search_begin(hold->board, kid, strlen(kid), &search);
    while (sg_board_search_next(&search, &record)) {
        if (!record_is_of(&record, keyset)) {
            continue;
        }
        if (record.revoked_at != 0) {
            return false;
        }
        all.from = record.verify_from > all.from ? record.verify_from : all.from;
        all.until = record.verify_until < all.until ? record.verify_until : all.until;
        num++;
    }
    if (num == 0 || key_is_revoked(hold->board, keyset, kid)) {
        return false;
    }
    *span = all;
    return true;
}
