/* Answers as NVIDIA's switch library does (nscq.h, nscq_attestation.h), as far as Subrosa asks. Each
 * test compiles it with the definitions of the machine that it needs:
 *
 *   SWITCHES, ARCH                   how many switches of which number
 *   NO_INPUT                         a function that the library lacks
 *   SESSION_CODE, NO_SESSION, LABEL_CODE, INPUT_CODE
 *                                    errors that it answers with
 *   OBSERVE_CODE, CALLBACK_CODE, CALLS, AT
 *                                    an error, an error of the switch, or another number of calls, of
 *                                    the path that ends in AT
 *   NO_UUID, SWITCH_REPORT_SIZE, SWITCH_CHAIN_SIZE, SWITCH_WRONG_NONCE, SWITCH_LABEL
 *                                    faults
 *   SWITCH_FILES                     a folder with recorded answers: `report-0`, `chain-0` and so on
 *   SWITCH_JOURNAL                   a file that gets `o` and `c` where a session opens and closes
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SWITCHES
#define SWITCHES 4
#endif
#ifndef ARCH
#define ARCH 2
#endif
#ifndef AT
#define AT "nothing"
#endif
#ifndef OBSERVE_CODE
#define OBSERVE_CODE 0
#endif
#ifndef CALLBACK_CODE
#define CALLBACK_CODE 0
#endif
#ifndef CALLS
#define CALLS 1
#endif
#ifndef SWITCH_LABEL
#define SWITCH_LABEL "SWX-%02X"
#endif

#define INVALID_UUID (-2)
#define UNEXPECTED (-5)

struct uuid { uint8_t bytes[16]; };
struct label { char data[64]; };
struct session_result { int8_t code; void *session; };
struct report { uint32_t size; uint8_t report[0x2000]; };
struct certificate { uint8_t chain[0x1400]; uint32_t size; };

typedef void (*uuid_fn)(const struct uuid *, int8_t, const struct uuid *, void *);
typedef void (*number_fn)(const struct uuid *, int8_t, int8_t, void *);
typedef void (*report_fn)(const struct uuid *, int8_t, struct report, void *);
typedef void (*certificate_fn)(const struct uuid *, int8_t, struct certificate, void *);

static int open_session;
/* Kept as a pointer, as a library may. */
static const uint8_t *input;

static void note(const char *what)
{
#ifdef SWITCH_JOURNAL
    FILE *journal = fopen(SWITCH_JOURNAL, "a");
    if (journal) {
        fputs(what, journal);
        fclose(journal);
    }
#else
    (void)what;
#endif
}

static uint32_t recorded(const char *what, int index, uint8_t *into, uint32_t max)
{
#ifdef SWITCH_FILES
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%d", SWITCH_FILES, what, index);
    FILE *file = fopen(path, "rb");
    uint32_t got = file ? (uint32_t)fread(into, 1, max, file) : 0;
    if (file)
        fclose(file);
    return got;
#else
    (void)what, (void)index, (void)into, (void)max;
    return 0;
#endif
}

struct session_result nscq_session_create(uint32_t flags)
{
    struct session_result result = {0, &open_session};
    if (flags != 1)
        result.code = UNEXPECTED;
#ifdef SESSION_CODE
    result.code = SESSION_CODE;
#endif
#ifdef NO_SESSION
    result.session = NULL;
#endif
    if (result.code == 0 && result.session) {
        open_session = 1;
        note("o");
    }
    return result;
}

void nscq_session_destroy(void *session)
{
    if (session == &open_session && open_session) {
        open_session = 0;
        input = NULL;
        note("c");
    }
}

int8_t nscq_uuid_to_label(const struct uuid *uuid, struct label *label, uint32_t flags)
{
#ifdef LABEL_CODE
    return LABEL_CODE;
#endif
    if (flags != 0)
        return UNEXPECTED;
    snprintf(label->data, sizeof label->data, SWITCH_LABEL, uuid->bytes[15]);
    return 0;
}

#ifndef NO_INPUT
int8_t nscq_session_set_input(void *session, uint32_t flags, void *data, uint32_t size)
{
#ifdef INPUT_CODE
    return INPUT_CODE;
#endif
    if (session != &open_session || !open_session || flags != 0 || size != 32)
        return UNEXPECTED;
    input = data;
    return 0;
}
#endif

static struct report report_of(int index)
{
    struct report report = {0};
    report.size = recorded("report", index, report.report, sizeof report.report);
    if (report.size == 0) {
        uint8_t *at = report.report;
        const uint8_t request[] = {0x11, 0xE0, 1, 0xFF};
        const uint8_t response[] = {0x11, 0x60, 0, 0, 0, 0, 0, 0};
        memcpy(at, request, sizeof request);
        memcpy(at + 4, input, 32);
#ifdef SWITCH_WRONG_NONCE
        at[4] ^= 1;
#endif
        memcpy(at + 37, response, sizeof response);
        memset(at + 45, 0xBB, 32);
        memset(at + 79, 0xDD, 96);
        report.size = 175;
    }
#ifdef SWITCH_REPORT_SIZE
    report.size = SWITCH_REPORT_SIZE;
#endif
    return report;
}

static struct certificate certificate_of(int index)
{
    struct certificate certificate = {0};
    certificate.size = recorded("chain", index, certificate.chain, sizeof certificate.chain);
    if (certificate.size == 0) {
        const char *chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        certificate.size = (uint32_t)strlen(chain) + 1;
        memcpy(certificate.chain, chain, certificate.size);
    }
#ifdef SWITCH_CHAIN_SIZE
    certificate.size = SWITCH_CHAIN_SIZE;
#endif
    return certificate;
}

static int ends(const char *text, const char *end)
{
    size_t all = strlen(text), some = strlen(end);
    return all >= some && strcmp(text + all - some, end) == 0;
}

int8_t nscq_session_path_observe(void *session, const char *path, void (*callback)(void),
                                 void *data, uint32_t flags)
{
    if (session != &open_session || !open_session || flags != 0)
        return UNEXPECTED;
    int here = ends(path, AT);
    if (here && OBSERVE_CODE)
        return OBSERVE_CODE;
    int8_t code = here ? CALLBACK_CODE : 0;
    int calls = here ? CALLS : 1;
    struct uuid uuid = {{0}};
    if (strcmp(path, "/drv/nvswitch/{device}/uuid") == 0) {
        for (int index = 0; index < SWITCHES; index++) {
            uuid.bytes[15] = (uint8_t)index;
            const struct uuid *given = &uuid;
#ifdef NO_UUID
            given = NULL;
#endif
            ((uuid_fn)callback)(&uuid, code, given, data);
        }
        return 0;
    }
    if (strncmp(path, "/SWX-", 5) != 0)
        return INVALID_UUID;
    int index = (int)strtol(path + 5, NULL, 16);
    if (index >= SWITCHES)
        return INVALID_UUID;
    uuid.bytes[15] = (uint8_t)index;
    for (int call = 0; call < calls; call++) {
        if (ends(path, "/id/arch"))
            ((number_fn)callback)(&uuid, code, ARCH, data);
        else if (ends(path, "/config/certificate"))
            ((certificate_fn)callback)(&uuid, code, certificate_of(index), data);
        else if (ends(path, "/config/attestation_report") && input)
            ((report_fn)callback)(&uuid, code, report_of(index), data);
        else
            return UNEXPECTED;
    }
    return 0;
}
