/* Answers as NVIDIA's management library does (nvml.h), as far as Subrosa asks. Each test compiles it
 * with the definitions of the machine that it needs:
 *
 *   COUNT, ARCHITECTURE              how many GPUs of which number
 *   CC_FEATURE, DEV_TOOLS, MULTI_GPU how they work
 *   NO_SETTINGS, NO_REPORT           functions that the library lacks
 *   INIT_CODE, SETTINGS_CODE, STATE_CODE, REPORT_CODE, CERTIFICATE_CODE
 *                                    errors that it answers with
 *   REPORT_SIZE, CHAIN_SIZE          lengths that it claims
 *   EXTRA_BYTES, WRONG_NONCE, ENDLESS_TEXT
 *                                    faults
 *   REPORT_FILE, CHAIN_FILE          files with recorded answers
 *   HANG                             never starts
 *   JOURNAL                          a file that gets `i` at each start and `s` at each stop
 *   LOST_ONCE                        the first report ever asked for fails
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef COUNT
#define COUNT 2
#endif
#ifndef ARCHITECTURE
#define ARCHITECTURE 9
#endif
#ifndef CC_FEATURE
#define CC_FEATURE 1
#endif
#ifndef DEV_TOOLS
#define DEV_TOOLS 0
#endif
#ifndef MULTI_GPU
#define MULTI_GPU 0
#endif
#ifndef EXTRA_BYTES
#define EXTRA_BYTES 0
#endif

#define NOT_STARTED 1
#define INVALID 2
#define LOST 15
#define WRONG_VERSION 25

struct state { unsigned environment, feature, dev_tools; };
struct settings { unsigned version, environment, feature, dev_tools, multi_gpu; };
struct certificate {
    unsigned chain_size, attestation_chain_size;
    unsigned char chain[0x1000], attestation_chain[0x1400];
};
struct report {
    unsigned has_cec, size, cec_size;
    unsigned char nonce[32], report[0x2000], cec[0x1000];
};

static int started;
static const unsigned count_of_gpus = COUNT;
static int handles[64];

static void note(const char *what)
{
#ifdef JOURNAL
    FILE *journal = fopen(JOURNAL, "a");
    if (journal) {
        fputs(what, journal);
        fclose(journal);
    }
#else
    (void)what;
#endif
}

static int is_device(void *device)
{
    return started && device >= (void *)handles && device < (void *)(handles + count_of_gpus);
}

static unsigned read_file(const char *path, unsigned char *into, unsigned max)
{
    FILE *file = fopen(path, "rb");
    unsigned got = file ? (unsigned)fread(into, 1, max, file) : 0;
    if (file)
        fclose(file);
    return got;
}

int nvmlInit_v2(void)
{
#ifdef HANG
    for (;;)
        pause();
#endif
#ifdef INIT_CODE
    return INIT_CODE;
#endif
    started = 1;
    note("i");
    return 0;
}

int nvmlShutdown(void)
{
    started = 0;
    note("s");
    return 0;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    if (!started)
        return NOT_STARTED;
#ifdef ENDLESS_TEXT
    memset(text, 'x', length);
#else
    snprintf(text, length, "570.172.08");
#endif
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = count_of_gpus;
    return started ? 0 : NOT_STARTED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (!started || index >= count_of_gpus)
        return INVALID;
    *device = &handles[index];
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned length)
{
    if (!is_device(device))
        return INVALID;
    snprintf(text, length, "GPU-%ld", (long)((int *)device - handles));
    return 0;
}

int nvmlDeviceGetArchitecture(void *device, unsigned *architecture)
{
    *architecture = ARCHITECTURE;
    return is_device(device) ? 0 : INVALID;
}

int nvmlSystemGetConfComputeState(struct state *state)
{
#ifdef STATE_CODE
    return STATE_CODE;
#endif
    state->feature = CC_FEATURE;
    state->dev_tools = DEV_TOOLS;
    return started ? 0 : NOT_STARTED;
}

#ifndef NO_SETTINGS
int nvmlSystemGetConfComputeSettings(struct settings *settings)
{
#ifdef SETTINGS_CODE
    return SETTINGS_CODE;
#endif
    if (settings->version != (sizeof *settings | 1u << 24))
        return WRONG_VERSION;
    settings->feature = CC_FEATURE;
    settings->dev_tools = DEV_TOOLS;
    settings->multi_gpu = MULTI_GPU;
    return started ? 0 : NOT_STARTED;
}
#endif

int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct certificate *certificate)
{
    if (!is_device(device))
        return INVALID;
#ifdef CERTIFICATE_CODE
    return CERTIFICATE_CODE;
#endif
#ifdef CHAIN_FILE
    certificate->attestation_chain_size = read_file(
        CHAIN_FILE, certificate->attestation_chain, sizeof certificate->attestation_chain);
#else
    const char *chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    /* As the library does, with the NUL that ends the text. */
    certificate->attestation_chain_size = (unsigned)strlen(chain) + 1;
    memcpy(certificate->attestation_chain, chain, strlen(chain) + 1);
#endif
#ifdef CHAIN_SIZE
    certificate->attestation_chain_size = CHAIN_SIZE;
#endif
    return 0;
}

#ifndef NO_REPORT
int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *report)
{
    if (!is_device(device))
        return INVALID;
#ifdef REPORT_CODE
    return REPORT_CODE;
#endif
#ifdef LOST_ONCE
    unsigned char journal[8];
    if (read_file(JOURNAL, journal, sizeof journal) == 1)
        return LOST;
#endif
#ifdef REPORT_FILE
    report->size = read_file(REPORT_FILE, report->report, sizeof report->report);
#else
    unsigned char *at = report->report;
    const unsigned char request[] = {0x11, 0xE0, 1, 0xFF};
    const unsigned char response[] = {0x11, 0x60, 0, 0, 0, 0, 0, 0};
    memcpy(at, request, sizeof request);
    memcpy(at + 4, report->nonce, 32);
#ifdef WRONG_NONCE
    at[4] ^= 1;
#endif
    at[36] = 0;
    memcpy(at + 37, response, sizeof response);
    memset(at + 45, 0xBB, 32);
    at[77] = at[78] = 0;
    memset(at + 79, 0xDD, 96);
    memset(at + 175, 0, EXTRA_BYTES);
    report->size = 175 + EXTRA_BYTES;
#endif
#ifdef REPORT_SIZE
    report->size = REPORT_SIZE;
#endif
    return 0;
}
#endif
