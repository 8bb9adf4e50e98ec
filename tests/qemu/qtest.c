/* SPDX-License-Identifier: MIT */
/* The qtest text protocol, guest RAM and the trace log of a QEMU child. */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "qt_internal.h"

#define POST_LIMIT   60000u /* send what is posted before the buffer is full */
#define LINE_MAX_LEN 256u
#define RAM_DEFAULT  QT_RAM_LOW_MAX
#define RAM_FIRST    (UINT64_C(16) << 20)
#define MMIO_FIRST   UINT64_C(0xE0000000)
#define MMIO_END     UINT64_C(0xF0000000)
#define MMIO_UNIT    (UINT64_C(1) << 20)
#define PAGE         UINT64_C(4096)

/* The content of a memfd from an offset on, NUL-terminated; NULL when it cannot be read. */
static char *slurp(int fd, size_t from)
{
    struct stat st;
    char *text;
    size_t size;
    size_t have = 0;
    ssize_t len = 1;

    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    size = (size_t)st.st_size > from ? (size_t)st.st_size - from : 0;
    text = malloc(size + 1);
    if (!text)
        return NULL;
    while (have < size && len > 0) {
        len = pread(fd, text + have, size - have, (off_t)(from + have));
        if (len > 0)
            have += (size_t)len;
    }
    text[have] = '\0';
    return text;
}

char *qt_console_text(struct qt *qt)
{
    return slurp(qt->console_fd, 0);
}

_Noreturn void qt_fatal(struct qt *qt, const char *format, ...)
{
    char *console = qt ? qt_console_text(qt) : NULL;
    va_list ap;

    fflush(stdout);
    fputs("qtest: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (console && console[0])
        fprintf(stderr, "qtest: QEMU said:\n%s", console);
    free(console);
    if (qt)
        qt_teardown(qt);
    fflush(stderr);
    /* No exit handlers: a leak report would hide the status. */
    _exit(QT_EXIT_DEAD);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0 when the socket is ready for `events`, else an errno. */
static int wait_socket(struct qt *qt, short events, int64_t deadline)
{
    struct pollfd pfd = { .fd = qt->sock, .events = events, .revents = 0 };
    int64_t left;
    int ready;

    do {
        left = deadline - now_ms();
        ready = left > 0 ? poll(&pfd, 1, (int)left) : 0;
    } while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return errno;
    return ready ? 0 : ETIMEDOUT;
}

static int send_all(struct qt *qt)
{
    int64_t deadline = now_ms() + qt->timeout_ms;
    size_t sent = 0;
    ssize_t len;
    int error;

    while (sent < qt->out_len) {
        error = wait_socket(qt, POLLOUT, deadline);
        if (error)
            return error;
        len = send(qt->sock, qt->out + sent, qt->out_len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (len < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        if (len > 0)
            sent += (size_t)len;
    }
    qt->out_len = 0;
    return 0;
}

static int next_char(struct qt *qt, int64_t deadline, char *c)
{
    ssize_t len;
    int error;

    while (qt->in_pos == qt->in_len) {
        error = wait_socket(qt, POLLIN, deadline);
        if (error)
            return error;
        len = recv(qt->sock, qt->in, sizeof(qt->in), MSG_DONTWAIT);
        if (len == 0)
            return EPIPE;
        if (len < 0 && errno != EINTR && errno != EAGAIN)
            return errno;
        if (len > 0) {
            qt->in_pos = 0;
            qt->in_len = (size_t)len;
        }
    }
    *c = qt->in[qt->in_pos++];
    return 0;
}

static int read_line(struct qt *qt, char *line)
{
    int64_t deadline = now_ms() + qt->timeout_ms;
    size_t len = 0;
    char c = 0;
    int error;

    for (;;) {
        error = next_char(qt, deadline, &c);
        if (error)
            return error;
        if (c == '\n')
            break;
        if (len < LINE_MAX_LEN - 1)
            line[len++] = c;
    }
    line[len] = '\0';
    return 0;
}

/* One answer. Interrupt notices come in between and are none of the tests' business. */
static int read_answer(struct qt *qt, char *line)
{
    int error;

    do {
        error = read_line(qt, line);
        if (error)
            return error;
    } while (strncmp(line, "IRQ ", 4) == 0);
    return strncmp(line, "OK", 2) == 0 ? 0 : EPROTO;
}

_Noreturn static void lost(struct qt *qt, int error, const char *line)
{
    if (error == ETIMEDOUT)
        qt_fatal(qt, "no answer from QEMU within %d s: it hangs (a walk that never ends?)",
                 qt->timeout_ms / 1000);
    if (error == EPROTO)
        qt_fatal(qt, "QEMU refused a request: %s", line);
    qt_fatal(qt, "QEMU died (%s)", strerror(error));
}

/* Sends everything posted and takes the answers; all of them are plain acknowledgements. */
static void settle(struct qt *qt)
{
    char line[LINE_MAX_LEN] = "";
    int error = send_all(qt);

    while (!error && qt->posted) {
        error = read_answer(qt, line);
        qt->posted--;
    }
    if (error)
        lost(qt, error, line);
}

__attribute__((format(printf, 2, 3))) static void put(struct qt *qt, const char *format, ...)
{
    va_list ap;
    int len;

    va_start(ap, format);
    len = vsnprintf(qt->out + qt->out_len, sizeof(qt->out) - qt->out_len, format, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof(qt->out) - qt->out_len)
        qt_fatal(qt, "request does not fit the output buffer");
    qt->out_len += (size_t)len;
}

static void post(struct qt *qt)
{
    qt->posted++;
    if (!qt->batch || qt->out_len > POST_LIMIT)
        settle(qt);
}

static uint64_t ask(struct qt *qt, const char *verb, uint64_t addr)
{
    char line[LINE_MAX_LEN] = "";
    char *end;
    uint64_t value;
    int error;

    settle(qt);
    put(qt, "%s 0x%" PRIx64 "\n", verb, addr);
    error = send_all(qt);
    if (!error)
        error = read_answer(qt, line);
    if (error)
        lost(qt, error, line);
    errno = 0;
    value = strtoull(line + 2, &end, 0);
    if (errno || end == line + 2)
        qt_fatal(qt, "QEMU answered \"%s\" to a read", line);
    return value;
}

uint32_t qt_read32(struct qt *qt, uint64_t addr)
{
    return (uint32_t)ask(qt, "readl", addr);
}

uint64_t qt_read64(struct qt *qt, uint64_t addr)
{
    return ask(qt, "readq", addr);
}

uint32_t qt_in32(struct qt *qt, uint16_t port)
{
    return (uint32_t)ask(qt, "inl", port);
}

void qt_write32(struct qt *qt, uint64_t addr, uint32_t value)
{
    put(qt, "writel 0x%" PRIx64 " 0x%" PRIx32 "\n", addr, value);
    post(qt);
}

void qt_write64(struct qt *qt, uint64_t addr, uint64_t value)
{
    put(qt, "writeq 0x%" PRIx64 " 0x%" PRIx64 "\n", addr, value);
    post(qt);
}

void qt_out32(struct qt *qt, uint16_t port, uint32_t value)
{
    put(qt, "outl 0x%x 0x%" PRIx32 "\n", (unsigned int)port, value);
    post(qt);
}

void qt_batch_begin(struct qt *qt)
{
    qt->batch++;
}

void qt_batch_end(struct qt *qt)
{
    if (!qt->batch)
        qt_fatal(qt, "qt_batch_end() without qt_batch_begin()");
    if (--qt->batch == 0)
        settle(qt);
}

enum qt_status qt_start(struct qt **out, const struct qt_config *config)
{
    struct qt *qt = calloc(1, sizeof(*qt));
    char line[LINE_MAX_LEN] = "";
    enum qt_status status;
    char *console;
    int error;

    if (!qt) {
        fputs("qtest: out of memory\n", stderr);
        return QT_FAILED;
    }
    qt->pid = -1;
    qt->sock = -1;
    qt->console_fd = -1;
    qt->trace_fd = -1;
    qt->ram_size = config->ram_size ? config->ram_size : RAM_DEFAULT;
    qt->ram_next = RAM_FIRST;
    qt->mmio_next = MMIO_FIRST;
    qt->timeout_ms = (int)(config->timeout_s ? config->timeout_s : 60) * 1000;
    status = qt_spawn(qt, config);
    if (status == QT_OK) {
        put(qt, "endianness\n");
        error = send_all(qt);
        if (!error)
            error = read_answer(qt, line);
        if (error) {
            status = QT_FAILED;
            console = qt_console_text(qt);
            fprintf(stderr, "qtest: QEMU did not come up (%s); it said:\n%s", strerror(error),
                    console ? console : "");
            free(console);
        }
    }
    if (status != QT_OK) {
        qt_stop(qt);
        return status;
    }
    *out = qt;
    return QT_OK;
}

void qt_stop(struct qt *qt)
{
    if (!qt)
        return;
    qt_teardown(qt);
    free(qt);
}

uint64_t qt_ram_low_end(const struct qt *qt)
{
    return qt->ram_size < QT_RAM_LOW_MAX ? qt->ram_size : QT_RAM_LOW_MAX;
}

uint64_t qt_ram_high_end(const struct qt *qt)
{
    return qt->ram_size > QT_RAM_LOW_MAX ? QT_RAM_HIGH + (qt->ram_size - QT_RAM_LOW_MAX) : 0;
}

static bool inside(uint64_t pa, uint64_t len, uint64_t start, uint64_t end)
{
    return pa >= start && pa <= end && len <= end - pa;
}

bool qt_is_ram(const struct qt *qt, uint64_t pa, uint64_t len)
{
    return inside(pa, len, 0, qt_ram_low_end(qt)) ||
           inside(pa, len, QT_RAM_HIGH, qt_ram_high_end(qt));
}

void *qt_ptr(struct qt *qt, uint64_t pa, uint64_t len)
{
    if (!qt_is_ram(qt, pa, len))
        qt_fatal(qt, "0x%" PRIx64 " + 0x%" PRIx64 " is not guest RAM", pa, len);
    return qt->ram + (pa >= QT_RAM_HIGH ? pa - QT_RAM_HIGH + QT_RAM_LOW_MAX : pa);
}

uint64_t qt_alloc(struct qt *qt, uint64_t size, uint64_t align)
{
    uint64_t pa;

    if (!align || (align & (align - 1)))
        qt_fatal(qt, "alignment 0x%" PRIx64 " is no power of two", align);
    pa = (qt->ram_next + (align - 1)) & ~(align - 1);
    if (pa < qt->ram_next || !inside(pa, size, 0, qt_ram_low_end(qt)))
        qt_fatal(qt, "no guest RAM left for 0x%" PRIx64 " bytes; raise qt_config.ram_size", size);
    memset(qt_ptr(qt, pa, size), 0, (size_t)size);
    qt->ram_next = pa + size;
    return pa;
}

uint64_t qt_alloc_page(struct qt *qt)
{
    return qt_alloc(qt, PAGE, PAGE);
}

uint64_t qt_alloc_mark(const struct qt *qt)
{
    return qt->ram_next;
}

void qt_alloc_reset(struct qt *qt, uint64_t mark)
{
    if (mark < RAM_FIRST || mark > qt->ram_next)
        qt_fatal(qt, "0x%" PRIx64 " is no allocation mark", mark);
    qt->ram_next = mark;
}

uint64_t qt_alloc_mmio(struct qt *qt, uint64_t size)
{
    uint64_t align = MMIO_UNIT;
    uint64_t addr;

    /* A BAR is naturally aligned; sizes of BARs are powers of two. */
    while (align < size && align < MMIO_END)
        align <<= 1;
    addr = (qt->mmio_next + (align - 1)) & ~(align - 1);
    if (!inside(addr, align, MMIO_FIRST, MMIO_END))
        qt_fatal(qt, "no address space left for a window of 0x%" PRIx64 " bytes", size);
    qt->mmio_next = addr + align;
    return addr;
}

static char *trace_log(struct qt *qt)
{
    char *log;

    if (qt->trace_fd < 0)
        qt_fatal(qt, "this QEMU was started without trace events; list them in qt_config.trace");
    /* A posted write is logged when QEMU gets it. */
    settle(qt);
    log = slurp(qt->trace_fd, qt->trace_mark);
    if (!log)
        qt_fatal(qt, "cannot read the trace log");
    return log;
}

void qt_trace_mark(struct qt *qt)
{
    char *log = trace_log(qt);

    qt->trace_mark += strlen(log);
    free(log);
}

/*
 * A line is "PID@SECONDS.MICROSECONDS:event arguments"; versions differ in whether the part up to
 * the colon is there.
 */
static char *event_of(char *line)
{
    size_t len = strspn(line, "0123456789@.");

    return len && line[len] == ':' ? line + len + 1 : line;
}

size_t qt_trace_each(struct qt *qt, const char *pattern,
                     void (*visit)(void *ctx, const char *event, const char *text), void *ctx)
{
    char *log = trace_log(qt);
    size_t count = 0;
    char *save = NULL;
    char *line;
    char *event;
    char *text;

    for (line = strtok_r(log, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        event = event_of(line);
        text = strchr(event, ' ');
        if (text)
            *text++ = '\0';
        else
            text = event + strlen(event);
        if (fnmatch(pattern, event, 0) != 0)
            continue;
        count++;
        if (visit)
            visit(ctx, event, text);
    }
    free(log);
    return count;
}

size_t qt_trace_count(struct qt *qt, const char *pattern)
{
    return qt_trace_each(qt, pattern, NULL, NULL);
}

static void append_line(void *ctx, const char *event, const char *text)
{
    fprintf(ctx, "%s %s\n", event, text);
}

char *qt_trace_text(struct qt *qt, const char *pattern, size_t *count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    size_t found;

    if (!stream)
        qt_fatal(qt, "out of memory");
    found = qt_trace_each(qt, pattern, append_line, stream);
    fclose(stream);
    if (count)
        *count = found;
    return text;
}
