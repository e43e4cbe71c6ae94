/* The compiled part of the reader: one pass over the bytes of a block.
 *
 * A block is a run of whole physical lines of a drop. The kernel splits it into records as the dialect says, trims the
 * fields, applies the rules of the contract, parses the times, and collects what a caller asked for: the accepted
 * records of each platform, the sessions in the block, and the malformed records with line and reason. The columns are
 * handed over by Arrow's C data interface, without another copy.
 *
 * The kernel stops where it needs an answer: what a new spelling of a platform means, or what follows a record that
 * leaves the block. The caller answers and calls it again; it goes on at the same record.
 *
 * Bytes are classified 64 at a time into bit masks, and only the marked ones are looked at (the idea of simdjson;
 * Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019). Texts of eight characters are handled as one
 * number (Lemire, "Quickly parsing eight digits", 2018). Both need a little-endian machine.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the reader needs a little-endian machine"
#endif

#define EXPORTED __attribute__((visibility("default")))

/* The contract's columns, and the reasons in order of precedence. Python has both in the same order. */
enum column { USER_ID, SESSION_ID, PLATFORM, ACTIVITY_TIME, ACTIVITY_TYPE, COLUMNS };
enum reason {
    ENCODING, UNTERMINATED_QUOTE, BAD_QUOTE, TOO_FEW_FIELDS, TOO_MANY_FIELDS, CONTROL_CHARACTER, MISSING_USER_ID,
    MISSING_SESSION_ID, MISSING_PLATFORM, UNKNOWN_PLATFORM, MISSING_ACTIVITY_TIME, BAD_ACTIVITY_TIME,
    MISSING_ACTIVITY_TYPE, REASONS, SOUND = REASONS
};
enum status { DONE, NEEDS_PLATFORM, NEEDS_DAY, NEEDS_EXTENT, NEEDS_DATA, TOO_LONG, NO_MEMORY };
enum time_format { ISO, EPOCH_S, EPOCH_MS, EPOCH_US, PATTERN };
enum wanted { RECORDS = 1, SESSIONS = 2, FAULTS = 4 };

typedef struct {
    const uint8_t *at;
    int64_t length;
} text;

typedef struct {
    int32_t kind; /* a time_format */
    text pattern; /* of strptime */
} format;

/* How a drop is written, and where in it the contract's columns are.
 *
 * Quote and escape are 0 where there is none. A wanted column of the drop is a slot: slot_of has the slot of each of
 * the `width` columns, or -1. A column of the contract is the text of its parts, which are slots, joined by slashes;
 * parts of column c end at part_end[c] in `parts`. A column without parts has a constant.
 */
typedef struct {
    uint8_t delimiter, quote, escape, trailing_delimiter;
    int32_t width, slots, nulls, formats;
    const int32_t *slot_of;
    const int32_t *parts;
    int32_t part_end[COLUMNS];
    text constant[COLUMNS];
    const text *null;
    const format *format;
    int32_t is_local; /* times without an offset are those of a zone, whose days the caller tells */
    int64_t longest;  /* bytes of a record or line at most */
} dialect;

/* What follows the first line of a record that goes on inside it. Every line end from `start` to `end` is in quotes (or
 * else every one is escaped), so that what follows is the same for each record that is open at one of them. */
typedef struct {
    int64_t start, end, lines;
    int64_t last_bad_quote, last_invalid; /* offsets, or -1 */
    int32_t state, unterminated;
} extent;

/* ---- Texts ------------------------------------------------------------------------------------------------------ */

static inline uint64_t load64(const uint8_t *p) { uint64_t word; memcpy(&word, p, 8); return word; }
static inline uint32_t load32(const uint8_t *p) { uint32_t word; memcpy(&word, p, 4); return word; }

/* The length of the well-formed UTF-8 character at p, or 0. */
static int character(const uint8_t *p, int64_t left) {
    uint8_t lead = p[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (left < length) return 0;
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return 0;
    for (int i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return length;
}

/* The offset of the last byte in [from, to) that is not UTF-8, or -1. */
static int64_t last_invalid(const uint8_t *data, int64_t from, int64_t to) {
    int64_t found = -1;
    while (from < to) {
        if (to - from >= 8 && !(load64(data + from) & 0x8080808080808080u)) { from += 8; continue; }
        int length = character(data + from, to - from);
        if (!length) found = from;
        from += length ? length : 1;
    }
    return found;
}

/* The length of the white space character at p (Unicode's property White_Space), or 0. */
static int white_space(const uint8_t *p, int64_t left) {
    if (*p == ' ' || (*p >= '\t' && *p <= '\r')) return 1;
    if (*p < 0x80) return 0;
    if (left >= 2 && p[0] == 0xC2) return p[1] == 0x85 || p[1] == 0xA0 ? 2 : 0;
    if (left < 3) return 0;
    if (p[0] == 0xE1) return p[1] == 0x9A && p[2] == 0x80 ? 3 : 0;
    if (p[0] == 0xE3) return p[1] == 0x80 && p[2] == 0x80 ? 3 : 0;
    if (p[0] != 0xE2) return 0;
    if (p[1] == 0x81) return p[2] == 0x9F ? 3 : 0;
    return p[1] == 0x80 && ((p[2] >= 0x80 && p[2] <= 0x8A) || p[2] == 0xA8 || p[2] == 0xA9 || p[2] == 0xAF) ? 3 : 0;
}

static text trim_edges(text t) {
    int size;
    while (t.length && (size = white_space(t.at, t.length))) t.at += size, t.length -= size;
    while (t.length) {
        size = white_space(t.at + t.length - 1, 1) ? 1
            : t.length >= 2 && white_space(t.at + t.length - 2, 2) == 2 ? 2
            : t.length >= 3 && white_space(t.at + t.length - 3, 3) == 3 ? 3 : 0;
        if (!size) break;
        t.length -= size;
    }
    return t;
}

static inline text trim(text t) {
    /* Most texts begin and end with a printable ASCII character. */
    if (t.length && t.at[0] - 0x21u < 0x5E && t.at[t.length - 1] - 0x21u < 0x5E) return t;
    return trim_edges(t);
}

static int is_blank(const uint8_t *data, int64_t from, int64_t to) {
    int size;
    while (from < to && (size = white_space(data + from, to - from))) from += size;
    return from >= to;
}

/* Whether a text of well-formed UTF-8 has a character of category Cc. */
static int has_control(text t) {
    for (int64_t i = 0; i < t.length; i++) {
        if (t.at[i] < 0x20 || t.at[i] == 0x7F) return 1;
        if (t.at[i] == 0xC2 && t.at[i + 1] < 0xA0) return 1;
    }
    return 0;
}

/* All bytes of a text of at most eight; no byte beyond it is read. */
static inline uint64_t short_word(const uint8_t *p, int64_t length) {
    if (length >= 4) return load32(p) | (uint64_t)load32(p + length - 4) << 32;
    return length ? p[0] | (uint64_t)p[length / 2] << 8 | (uint64_t)p[length - 1] << 16 : 0;
}

static inline int same(text a, text b) {
    if (a.length != b.length) return 0;
    if (a.length <= 8) return short_word(a.at, a.length) == short_word(b.at, b.length);
    return !memcmp(a.at, b.at, (size_t)a.length);
}

/* A 64-bit hash of a text; no byte beyond it is read. Nothing depends on it but speed. */
static inline uint64_t hash(text t, uint64_t seed) {
    const uint64_t odd = 0x9E3779B97F4A7C15u;
    const uint8_t *p = t.at;
    int64_t left = t.length;
    uint64_t sum = seed ^ ((uint64_t)left * odd);
    for (; left > 8; p += 8, left -= 8) {
        sum = (sum ^ load64(p)) * odd;
        sum ^= sum >> 32;
    }
    sum = (sum ^ short_word(p, left)) * odd;
    return sum ^ (sum >> 29);
}

/* ---- Times ------------------------------------------------------------------------------------------------------ */

#define SECOND 1000000
static const int64_t FIRST_TIME = -62135596800 * SECOND, LAST_TIME = 253402300800 * SECOND - 1; /* years 1 to 9999 */

/* Matches eight characters with a pattern in which 0 stands for any digit. The byte of each digit then holds ten times
 * that digit plus the next one. */
static inline int digits(uint64_t word, uint64_t pattern, uint64_t beyond, uint64_t *pairs) {
    uint64_t values = word ^ pattern;
    *pairs = values * 10 + (values >> 8);
    return !((values | (values + beyond)) & 0x8080808080808080u);
}
static inline int pair(uint64_t pairs, int place) { return (pairs >> (8 * place)) & 0xFF; }
static inline int two_digits(const uint8_t *p, int *value) {
    unsigned tens = p[0] - '0', ones = p[1] - '0';
    *value = (int)(tens * 10 + ones);
    return tens < 10 && ones < 10;
}

/* Days since 1970-01-01, or no day at all. */
static int day_number(int year, int month, int day, int64_t *days) {
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    if (year < 1 || month < 1 || month > 12 || day < 1) return 0;
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > before[month] - before[month - 1] + (leap && month == 2)) return 0;
    int past = year - 1;
    *days = past * 365 + past / 4 - past / 100 + past / 400 + before[month - 1] + (leap && month > 2) + day - 1 - 719162;
    return 1;
}

/* What may follow a time of day: nothing, Z, " UTC", +HH, +HHMM or +HH:MM. Gives the minutes east of UTC. */
static int utc_offset(text t, int *minutes) {
    const uint8_t *p = t.at;
    *minutes = 0;
    if (!t.length) return 1;
    if (t.length == 1) return *p == 'Z' || *p == 'z';
    if (t.length == 4 && !memcmp(p, " UTC", 4)) return 1;
    if ((*p != '+' && *p != '-') || (t.length != 3 && t.length != 5 && (t.length != 6 || p[3] != ':'))) return 0;
    int hours, rest = 0;
    if (!two_digits(p + 1, &hours) || hours > 23) return 0;
    if (t.length > 3 && (!two_digits(p + t.length - 2, &rest) || rest > 59)) return 0;
    *minutes = *p == '-' ? -(hours * 60 + rest) : hours * 60 + rest;
    return 1;
}

/* A point and one to nine digits, cut to microseconds. Gives the number of characters; 0 if there is no fraction. */
static int fraction(text t, int64_t *micros) {
    int64_t unit = SECOND / 10, sum = 0;
    int i = 1;
    if (!t.length || t.at[0] != '.') return 0;
    for (; i < t.length && i <= 9 && t.at[i] - '0' + 0u < 10; i++, unit /= 10) sum += unit * (t.at[i] - '0');
    *micros = sum;
    return i > 1 ? i : 0;
}

/* A time as it is written: microseconds since 1970 if it were UTC, and its offset if it has one. */
typedef struct {
    int64_t micros;
    int has_offset, minutes; /* east of UTC */
} written_time;

static int64_t clock(int64_t days, int hour, int minute, int second, int64_t part) {
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * SECOND + part;
}

/* YYYY-MM-DD, T or t or a space, HH:MM, perhaps :SS and a fraction, perhaps an offset. */
static inline int iso_time(text t, written_time *time) {
    if (t.length < 16) return 0;
    uint64_t front, back, word = load64(t.at + 8);
    uint8_t mark = (word >> 16) & 0xFF;
    if (mark != 'T' && mark != 't' && mark != ' ') return 0;
    word &= ~((uint64_t)0xFF << 16); /* "DD\0HH:MM" */
    /* "0000-00-" and "00\0" "00:00", with 0x76 at digits and 0x7F at other characters to find what is beyond. */
    if (!digits(load64(t.at), 0x2D30302D30303030u, 0x7F76767F76767676u, &front)) return 0;
    if (!digits(word, 0x30303A3030003030u, 0x76767F76767F7676u, &back)) return 0;
    int64_t days, part = 0;
    int second = 0, hour = pair(back, 3), minute = pair(back, 6);
    if (!day_number(pair(front, 0) * 100 + pair(front, 2), pair(front, 5), pair(back, 0), &days)) return 0;
    text rest = {t.at + 16, t.length - 16};
    if (rest.length >= 3 && rest.at[0] == ':') {
        if (!two_digits(rest.at + 1, &second)) return 0;
        rest.at += 3, rest.length -= 3;
        int size = fraction(rest, &part);
        rest.at += size, rest.length -= size;
    }
    if (hour > 23 || minute > 59 || second > 59 || !utc_offset(rest, &time->minutes)) return 0;
    time->micros = clock(days, hour, minute, second, part);
    time->has_offset = rest.length > 0;
    return 1;
}

/* Seconds, milliseconds or microseconds since 1970, perhaps with a sign and a fraction. */
static int epoch_time(text t, int64_t per_second, written_time *time) {
    int64_t whole = 0, part = 0;
    int negative = t.length && *t.at == '-';
    t.at += negative, t.length -= negative;
    int i = 0;
    for (; i < t.length && i < 18 && t.at[i] - '0' + 0u < 10; i++) whole = whole * 10 + (t.at[i] - '0');
    if (!i || whole / per_second > LAST_TIME / SECOND) return 0;
    text rest = {t.at + i, t.length - i};
    if (rest.length && (fraction(rest, &part) != rest.length)) return 0;
    int64_t micros = whole * (SECOND / per_second) + part / per_second;
    *time = (written_time){negative ? -micros : micros, 1, 0};
    return 1;
}

/* What a pattern of strptime has found; -1: nothing yet. */
typedef struct {
    int year, month, day, day_of_year, hour, half_day_hour, minute, second, is_afternoon, has_offset, offset;
    int64_t part;
} found_time;

static const char *const MONTHS[] = {"january", "february", "march", "april", "may", "june", "july", "august",
                                     "september", "october", "november", "december"};
static const char *const DAYS[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

/* The length of a name at the start of a text, whatever its case; only its first letters if `letters` is not 0. */
static int starts_with(text t, const char *name, int letters) {
    int i = 0;
    for (; name[i] && (!letters || i < letters); i++)
        if (i >= t.length || (t.at[i] | 0x20) != name[i]) return 0;
    return i;
}

/* The number of the name that the text starts with, from 1, or 0; the longest one if several do. */
static int name_at(text t, const char *const *names, int count, int letters, int *size) {
    int found = 0;
    *size = 0;
    for (int i = 0; i < count; i++) {
        int length = starts_with(t, names[i], letters);
        if (length > *size) found = i + 1, *size = length;
    }
    return found;
}

/* A number of exactly `width` digits within a range; -1 if there is none. */
static int number_at(text t, int width, int least, int most) {
    int value = 0;
    if (t.length < width) return -1;
    for (int i = 0; i < width; i++) {
        if (t.at[i] - '0' + 0u >= 10) return -1;
        value = value * 10 + (t.at[i] - '0');
    }
    return value >= least && value <= most ? value : -1;
}

/* %z: Z, or a sign with HH, HHMM, HH:MM, perhaps with seconds. Gives the length, or 0. */
static int offset_at(text t, int *seconds) {
    if (t.length && (*t.at == 'Z' || *t.at == 'z')) { *seconds = 0; return 1; }
    if (!t.length || (*t.at != '+' && *t.at != '-')) return 0;
    int hours = number_at((text){t.at + 1, t.length - 1}, 2, 0, 23);
    if (hours < 0) return 0;
    int at = 3, colon = t.length > 3 && t.at[3] == ':';
    int minutes = number_at((text){t.at + at + colon, t.length - at - colon}, 2, 0, 59);
    if (minutes < 0) minutes = 0;
    else at += colon + 2;
    *seconds = (hours * 60 + minutes) * 60 * (*t.at == '-' ? -1 : 1);
    return at;
}

/* Matches a text with a pattern of strptime, as Python's does: numbers may have fewer digits, and of several ways the
 * first is taken in which the rest matches too. */
static int match(text pattern, text t, found_time *f) {
    while (pattern.length && pattern.at[0] != '%') {
        if (white_space(pattern.at, pattern.length)) {
            int size, spaces = 0;
            while (pattern.length && (size = white_space(pattern.at, pattern.length)))
                pattern.at += size, pattern.length -= size;
            while (t.length && (size = white_space(t.at, t.length))) t.at += size, t.length -= size, spaces++;
            if (!spaces) return 0;
            continue;
        }
        uint8_t expected = pattern.at[0], byte = t.length ? t.at[0] : 0;
        int is_letter = (expected | 0x20) - 'a' + 0u < 26;
        if (!t.length || (is_letter ? (expected | 0x20) != (byte | 0x20) : expected != byte)) return 0;
        pattern.at++, pattern.length--, t.at++, t.length--;
    }
    if (!pattern.length) return !t.length;
    const uint8_t directive = pattern.at[1];
    const text rest = {pattern.at + 2, pattern.length - 2};
    int size = 0, least = 1, widest = 2, narrowest = 1, most = 0;
    int *value = NULL;
    switch (directive) {
    case '%': return t.length && *t.at == '%' && match(rest, (text){t.at + 1, t.length - 1}, f);
    case 'Y': value = &f->year, widest = narrowest = 4, least = 0, most = 9999; break;
    case 'y': value = &f->year, widest = narrowest = 2, least = 0, most = 99; break;
    case 'm': value = &f->month, most = 12; break;
    case 'd': value = &f->day, most = 31; break;
    case 'j': value = &f->day_of_year, widest = 3, most = 366; break;
    case 'H': value = &f->hour, least = 0, most = 23; break;
    case 'I': value = &f->half_day_hour, most = 12; break;
    case 'M': value = &f->minute, least = 0, most = 59; break;
    case 'S': value = &f->second, least = 0, most = 59; break;
    case 'b': f->month = name_at(t, MONTHS, 12, 3, &size); break;
    case 'B': f->month = name_at(t, MONTHS, 12, 0, &size); break;
    case 'a': name_at(t, DAYS, 7, 3, &size); break;
    case 'A': name_at(t, DAYS, 7, 0, &size); break;
    case 'p':
        if (t.length >= 2 && (t.at[1] | 0x20) == 'm' && ((*t.at | 0x20) == 'a' || (*t.at | 0x20) == 'p'))
            size = 2, f->is_afternoon = (*t.at | 0x20) == 'p';
        break;
    case 'z': size = offset_at(t, &f->offset), f->has_offset = 1; break;
    case 'Z': {
        static const char *const zones[] = {"utc", "gmt", "z"};
        name_at(t, zones, 3, 0, &size);
        f->offset = 0, f->has_offset = 1;
        break;
    }
    case 'f':
        for (int width = 9; width > 0; width--) {
            int64_t unit = SECOND / 10, part = 0;
            if (number_at(t, width, 0, INT32_MAX) < 0) continue;
            for (int i = 0; i < width; i++, unit /= 10) part += unit * (t.at[i] - '0');
            f->part = part;
            if (match(rest, (text){t.at + width, t.length - width}, f)) return 1;
        }
        return 0;
    default: return 0;
    }
    if (!value) return size && match(rest, (text){t.at + size, t.length - size}, f);
    for (int width = widest; width >= narrowest; width--) {
        int number = number_at(t, width, least, most);
        if (number < 0) continue;
        *value = directive == 'y' ? number + (number < 69 ? 2000 : 1900) : number;
        if (match(rest, (text){t.at + width, t.length - width}, f)) return 1;
    }
    return 0;
}

static int pattern_time(text pattern, text t, written_time *time) {
    found_time f = {.year = -1, .month = 1, .day = 1, .day_of_year = -1, .half_day_hour = -1};
    int64_t days;
    if (!match(pattern, t, &f)) return 0;
    if (f.half_day_hour >= 0) f.hour = f.half_day_hour % 12 + 12 * f.is_afternoon;
    if (f.day_of_year > 0) {
        if (!day_number(f.year, 1, 1, &days)) return 0;
        int leap = f.year % 4 == 0 && (f.year % 100 != 0 || f.year % 400 == 0);
        if (f.day_of_year > 365 + leap) return 0;
        days += f.day_of_year - 1;
    } else if (!day_number(f.year, f.month, f.day, &days)) return 0;
    *time = (written_time){clock(days, f.hour, f.minute, f.second, f.part), f.has_offset, f.offset / 60};
    return 1;
}

/* A day of a time zone: from which second of the local day on which offset holds. */
enum { MOST_PIECES = 8, KNOWN_DAYS = 512, SKIPPED = INT32_MIN };
typedef struct {
    int64_t day;
    int32_t pieces; /* 0: not known */
    int32_t from[MOST_PIECES], offset[MOST_PIECES]; /* seconds; east of UTC, or SKIPPED where the clock jumps ahead */
} local_day;

enum parsed { NO_TIME, TIME, UNKNOWN_DAY };

static inline enum parsed to_utc(const dialect *d, const local_day *days, const written_time *written, int64_t *micros) {
    int64_t shift = written->minutes * (int64_t)60;
    if (d->is_local && !written->has_offset) {
        int64_t seconds = written->micros / SECOND - (written->micros % SECOND < 0);
        int64_t day = seconds / 86400 - (seconds % 86400 < 0), second = seconds - day * 86400;
        const local_day *known = &days[(uint64_t)day % KNOWN_DAYS];
        if (!known->pieces || known->day != day) { *micros = day; return UNKNOWN_DAY; }
        int32_t i = known->pieces - 1;
        while (i && second < known->from[i]) i--;
        if (known->offset[i] == SKIPPED) return NO_TIME;
        shift = known->offset[i];
    }
    *micros = written->micros - shift * SECOND;
    return *micros >= FIRST_TIME && *micros <= LAST_TIME ? TIME : NO_TIME;
}

/* Parses a time in the first of the dialect's formats that fits. Gives the day instead if that is not known. */
static inline enum parsed parse_time(const dialect *d, const local_day *days, text t, int64_t *micros) {
    written_time written;
    for (int i = 0; i < d->formats; i++) {
        const format *f = &d->format[i];
        int fits;
        if (f->kind == ISO) fits = iso_time(t, &written);
        else if (f->kind == PATTERN) fits = pattern_time(f->pattern, t, &written);
        else fits = epoch_time(t, f->kind == EPOCH_S ? 1 : f->kind == EPOCH_MS ? 1000 : SECOND, &written);
        if (fits) return to_utc(d, days, &written, micros);
    }
    return NO_TIME;
}

/* ---- Columns ---------------------------------------------------------------------------------------------------- */

enum { SLACK = 32 }; /* bytes behind a column of texts, so that short texts are copied in one go */

typedef struct {
    uint8_t *bytes;
    int32_t *ends; /* offsets as Arrow has them: a 0 and the end of each text */
    int64_t size, capacity;
} texts;

typedef struct {
    int64_t rows, capacity;
    texts user_id, session_id, activity_type;
    int64_t *time, *last_time, *events;
    int32_t *platform;
} table; /* records have activity_type and time, sessions the others and time */

typedef struct {
    int64_t rows, capacity;
    int64_t *line;
    int8_t *reason;
    texts raw;
} faults;

static int grow(void **memory, int64_t *capacity, int64_t needed, size_t width) {
    if (needed <= *capacity) return 1;
    int64_t larger = needed * 2 < 1024 ? 1024 : needed * 2;
    void *moved = realloc(*memory, (size_t)larger * width);
    if (!moved) return 0;
    *memory = moved, *capacity = larger;
    return 1;
}

static int room_for(void **memory, int64_t rows, size_t width) {
    void *moved = realloc(*memory, (size_t)rows * width);
    if (!moved) return 0;
    *memory = moved;
    return 1;
}

static int more_ends(texts *column, int64_t rows) {
    int first = !column->ends;
    if (!room_for((void **)&column->ends, rows + 1, sizeof(int32_t))) return 0;
    if (first) column->ends[0] = 0;
    return 1;
}

/* Appends a text as row `row`. If it lies in `block`, a few bytes behind it may be read, too. */
static inline int append(texts *column, int64_t row, text t, text block) {
    if (!grow((void **)&column->bytes, &column->capacity, column->size + t.length + SLACK, 1)) return 0;
    if (column->size + t.length > INT32_MAX) return 0;
    uint8_t *target = column->bytes + column->size;
    uint64_t place = (uint64_t)((uintptr_t)t.at - (uintptr_t)block.at);
    if (t.length <= SLACK && place < (uint64_t)block.length && place + SLACK <= (uint64_t)block.length)
        memcpy(target, t.at, SLACK);
    else memcpy(target, t.at, (size_t)t.length);
    column->size += t.length;
    column->ends[row + 1] = (int32_t)column->size;
    return 1;
}

static inline text row_of(const texts *column, int64_t row) {
    return (text){column->bytes + column->ends[row], column->ends[row + 1] - column->ends[row]};
}

static int table_room(table *t, int sessions) {
    if (t->rows < t->capacity) return 1;
    int64_t rows = t->capacity ? t->capacity * 2 : 1024;
    if (!more_ends(&t->user_id, rows) || !more_ends(&t->session_id, rows)) return 0;
    if (!room_for((void **)&t->time, rows, 8)) return 0;
    if (!sessions) {
        if (!more_ends(&t->activity_type, rows)) return 0;
    } else if (!room_for((void **)&t->last_time, rows, 8) || !room_for((void **)&t->events, rows, 8)
               || !room_for((void **)&t->platform, rows, 4)) return 0;
    t->capacity = rows;
    return 1;
}

static void table_free(table *t) {
    void *all[] = {t->user_id.bytes, t->user_id.ends, t->session_id.bytes, t->session_id.ends, t->activity_type.bytes,
                   t->activity_type.ends, t->time, t->last_time, t->events, t->platform};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    memset(t, 0, sizeof *t);
}

static void faults_free(faults *f) {
    free(f->line), free(f->reason), free(f->raw.bytes), free(f->raw.ends);
    memset(f, 0, sizeof *f);
}

/* ---- The reader ------------------------------------------------------------------------------------------------- */

typedef struct {
    text spelling; /* in memory of its own */
    uint64_t hash;
    int32_t platform; /* -1: unknown */
    int64_t records;
} spelling;

typedef struct {
    uint32_t tag; /* a part of its hash */
    uint32_t row; /* plus 1; 0: none */
} recent; /* a session that was seen a moment ago */

enum { RECENT_SESSIONS = 1 << 15, KNOWN_SPELLINGS = 1 << 12 };

typedef struct {
    int64_t start, end; /* of what is between the quotes, or between the delimiters */
    int32_t is_escaped;  /* it has doubled quotes, or escapes */
} slot;

/* The first members are read by Python. */
typedef struct {
    int64_t at, line;               /* where the next record starts: offset in the block, lines from its start */
    int64_t read, kept;             /* records since the start of the block */
    int64_t reasons[REASONS];       /* malformed records of each */
    int64_t platforms;              /* tables of records */
    int64_t spellings;              /* known spellings of platforms, by number */
    int64_t lost_spellings;         /* spellings since the start of the block that are known no more */
    int64_t sessions, malformed;    /* rows */
    text question;                  /* NEEDS_PLATFORM: the spelling */
    int64_t open_at;                /* NEEDS_EXTENT: where the line after an open line starts. NEEDS_DATA: how far.
                                     * NEEDS_DAY: the local day, since 1970 */
    int64_t open_state;             /* NEEDS_EXTENT: the state in which it starts */

    dialect d;
    int32_t wanted, is_direct; /* each column of the contract is one of the drop, and there are no null markers */
    const uint8_t *data;
    int64_t size;
    int32_t is_last; /* the block ends with the drop */

    int64_t chunk;   /* offset of the 64 bytes that are being looked at */
    uint64_t events; /* which of them are still to be looked at */
    int64_t last_odd; /* the last byte so far, in 64s, that is neither printable ASCII nor a special one; or -1 */

    slot *slots;
    uint8_t *scratch;
    int64_t scratch_capacity;
    extent known;

    table *records;
    int64_t tables;
    table session_rows;
    recent *recent;
    faults fault_rows;
    spelling *spelling_of;
    int32_t *spelling_at; /* an open hash table of numbers in spelling_of, plus 1 */
    local_day *days;
} reader;

/* ---- Splitting -------------------------------------------------------------------------------------------------- */

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

/* One bit for each byte of a comparison, whose bytes are 0x00 or 0xFF. */
static inline uint64_t bits_of(bytes16 compared) {
    static const bytes16 weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    words2 words = (words2)(compared & weights);
    return ((words[0] * 0x0101010101010101u) >> 56) | ((words[1] * 0x0101010101010101u) >> 56) << 8;
}

/* Looks at the 64 bytes at r->chunk: which ones are special, and whether one is odd. */
static inline void classify(reader *r) {
    uint8_t padded[64];
    const uint8_t *p = r->data + r->chunk;
    int64_t left = r->size - r->chunk;
    if (left < 64) {
        memset(padded, ' ', 64);
        memcpy(padded, p, (size_t)left);
        p = padded;
    }
    const uint8_t delimiter = r->d.delimiter, quote = r->d.quote, escape = r->d.escape;
    uint64_t events = 0;
    bytes16 odd = {0};
    for (int i = 0; i < 4; i++) {
        bytes16 v;
        memcpy(&v, p + 16 * i, 16);
        bytes16 special = (bytes16)(v == delimiter) | (bytes16)(v == quote) | (bytes16)(v == escape)
            | (bytes16)(v == '\n') | (bytes16)(v == '\r');
        odd |= (bytes16)((bytes16)(v - 0x20) >= 0x5F) & ~special;
        events |= bits_of(special) << (16 * i);
    }
    words2 any = (words2)odd;
    if (any[0] | any[1]) r->last_odd = r->chunk + 63;
    r->events = left < 64 ? events & (((uint64_t)1 << left) - 1) : events;
}

/* Goes to an offset. */
static void seek(reader *r, int64_t offset) {
    r->chunk = offset & ~(int64_t)63;
    r->events = 0;
    r->last_odd = -1;
    if (r->chunk < r->size) {
        classify(r);
        r->events &= ~(uint64_t)0 << (offset & 63);
    }
}

/* The offset of the next special byte, or the block's size. */
static inline int64_t next_event(reader *r) {
    while (!r->events) {
        r->chunk += 64;
        if (r->chunk >= r->size) { r->chunk = r->size; return r->size; }
        classify(r);
    }
    int64_t offset = r->chunk + __builtin_ctzll(r->events);
    r->events &= r->events - 1;
    return offset;
}

/* Makes the next special byte an ordinary one if it is at this offset. */
static inline void pass(reader *r, int64_t offset) {
    if (offset < r->chunk + 64) {
        if (offset >= r->chunk) r->events &= ~((uint64_t)1 << (offset - r->chunk));
    } else if (offset < r->size) {
        r->chunk += 64;
        classify(r);
        r->events &= ~(uint64_t)1;
    }
}

static inline int64_t behind_line_end(const reader *r, int64_t at) {
    return at + 1 + (r->data[at] == '\r' && at + 1 < r->size && r->data[at + 1] == '\n');
}

enum state { BARE, QUOTED, CLOSED }; /* in a field without quotes; between quotes; behind the closing quote */

typedef struct {
    int64_t start, end, next;       /* first byte, line end, and what follows it */
    int64_t first_end, second_line; /* where the first physical line ends, and the second starts, if there are several */
    int64_t last_field;             /* where the last field starts */
    int64_t inner_lines;            /* line ends inside the record */
    int64_t bad_quote;              /* the last quote that is out of place, or -1 */
    int32_t fields, state;          /* the state at the end */
    int32_t inner_state, is_uniform; /* the state at the first line end inside, and whether it is that at all of them */
    int32_t is_known;               /* reading stopped at the second line, as what follows it is known */
    int32_t is_open;                /* the block ends before the record */
    int32_t is_marked;              /* it has quotes or escapes */
} record;

/* Whether what follows a line end inside a record is known. */
static inline int is_within(const extent *e, int64_t offset, int state) {
    return e->start <= offset && offset < e->end && (e->state == state || e->start == offset);
}

/* Reads the record that starts at `start`, or what is left of one that is open there in a state. */
static inline void scan(reader *r, record *s, int64_t start, int state, int is_inside) {
    const uint8_t *data = r->data, delimiter = r->d.delimiter, quote = r->d.quote;
    int64_t field = start, open = start, close = start, offset;
    int is_escaped = 0, has_text = is_inside;
    *s = (record){.start = start, .bad_quote = -1, .is_uniform = 1};
    for (;;) {
        offset = next_event(r);
        const uint8_t byte = offset < r->size ? data[offset] : '\n';
        const int is_line_end = byte == '\n' || byte == '\r';
        if (offset >= r->size && (state == QUOTED || !r->is_last)) { s->is_open = 1; break; }
        if (byte == delimiter || is_line_end) {
            if (state == QUOTED) {
                if (!is_line_end) continue;
            inner_line:;
                int64_t following = behind_line_end(r, offset);
                if (following > offset + 1) pass(r, offset + 1);
                if (!s->inner_lines++) {
                    s->first_end = offset, s->second_line = following, s->inner_state = state;
                    s->is_known = is_within(&r->known, following, state);
                    if (s->is_known) break;
                }
                s->is_uniform &= state == s->inner_state;
                continue;
            }
            if (state == BARE) open = field, close = offset;
            else if (!is_blank(data, close + 1, offset)) s->bad_quote = close;
            if (s->fields < r->d.width) {
                int32_t place = r->d.slot_of[s->fields];
                if (place >= 0) r->slots[place] = (slot){open, close, is_escaped};
            }
            s->fields++;
            if (is_line_end) break;
            field = offset + 1, is_escaped = has_text = 0, state = BARE;
        } else if (byte == quote) {
            s->is_marked = 1;
            if (state == QUOTED) {
                if (offset + 1 < r->size && data[offset + 1] == quote) pass(r, offset + 1), is_escaped = 1;
                else close = offset, state = CLOSED;
            } else if (state == BARE && !has_text && is_blank(data, field, offset)) open = offset + 1, state = QUOTED;
            else s->bad_quote = offset, has_text = 1;
        } else if (offset + 1 < r->size) { /* an escape */
            is_escaped = s->is_marked = 1;
            pass(r, ++offset);
            if (data[offset] == '\n' || data[offset] == '\r') goto inner_line;
        }
    }
    s->end = offset, s->last_field = field, s->state = state;
    s->next = offset < r->size ? behind_line_end(r, offset) : r->size;
    if (s->next > offset + 1) pass(r, offset + 1);
}

/* ---- Values ----------------------------------------------------------------------------------------------------- */

/* The text of a slot without its escapes, written to `target`. */
static text unescaped(const reader *r, slot s, uint8_t *target) {
    int64_t length = 0;
    for (int64_t i = s.start; i < s.end; i++) {
        uint8_t byte = r->data[i];
        int is_mark = byte != r->d.delimiter && i + 1 < s.end
            && (byte == r->d.escape || (byte == r->d.quote && r->data[i + 1] == byte));
        target[length++] = is_mark ? r->data[++i] : byte;
    }
    return (text){target, length};
}

/* The trimmed text of a slot; empty if it is a null marker, as it is written. */
static inline text slot_text(const reader *r, slot s, uint8_t **scratch) {
    text written = trim((text){r->data + s.start, s.end - s.start});
    for (int32_t i = 0; i < r->d.nulls; i++)
        if (same(written, r->d.null[i])) return (text){written.at, 0};
    if (!s.is_escaped) return written;
    text value = unescaped(r, s, *scratch);
    *scratch += value.length;
    return trim(value);
}

/* The value of a column: the texts of its parts joined by slashes, empty if one of them is; or its constant. */
static text joined(const reader *r, enum column c, uint8_t **scratch) {
    int32_t first = c ? r->d.part_end[c - 1] : 0, last = r->d.part_end[c];
    if (first == last) return r->d.constant[c];
    text value = slot_text(r, r->slots[r->d.parts[first]], scratch);
    for (int32_t i = first + 1; i < last; i++) {
        text further = slot_text(r, r->slots[r->d.parts[i]], scratch);
        if (!value.length || !further.length) return (text){value.at, 0};
        uint8_t *target = *scratch;
        memcpy(target, value.at, (size_t)value.length);
        target[value.length] = '/';
        memcpy(target + value.length + 1, further.at, (size_t)further.length);
        value = (text){target, value.length + 1 + further.length};
        *scratch += value.length;
    }
    return value;
}

/* Makes room for all texts of a record that cannot be read where they are. */
static int scratch_room(reader *r) {
    int64_t needed = 0, joins = 0;
    for (int32_t i = 0; i < r->d.slots; i++)
        if (r->slots[i].is_escaped) needed += r->slots[i].end - r->slots[i].start;
    for (int32_t i = 0; i < r->d.part_end[COLUMNS - 1]; i++) {
        slot s = r->slots[r->d.parts[i]];
        joins += s.end - s.start + 1;
    }
    int64_t parts = r->d.part_end[COLUMNS - 1];
    return grow((void **)&r->scratch, &r->scratch_capacity, (parts + 1) * needed + parts * joins + SLACK, 1);
}

static inline int values_of(reader *r, text *values) {
    if (r->is_direct) {
        int is_escaped = 0;
        for (int c = 0; c < COLUMNS; c++) {
            const slot *s = &r->slots[r->d.parts[c]];
            values[c] = trim((text){r->data + s->start, s->end - s->start});
            is_escaped |= s->is_escaped;
        }
        if (!is_escaped) return 1;
    }
    if (!scratch_room(r)) return 0;
    uint8_t *scratch = r->scratch;
    for (int c = 0; c < COLUMNS; c++) values[c] = joined(r, (enum column)c, &scratch);
    return 1;
}

/* ---- Platforms -------------------------------------------------------------------------------------------------- */

/* The place of a spelling in the hash table: that of its number plus 1, or of a 0. */
static int32_t *spelling_place(const reader *r, text t, uint64_t sum) {
    for (uint64_t at = sum;; at++) {
        int32_t *place = &r->spelling_at[at & (2 * KNOWN_SPELLINGS - 1)];
        if (!*place) return place;
        const spelling *known = &r->spelling_of[*place - 1];
        if (known->hash == sum && same(known->spelling, t)) return place;
    }
}

static void forget_spellings(reader *r) {
    for (int64_t i = 0; i < r->spellings; i++) free((void *)r->spelling_of[i].spelling.at);
    memset(r->spelling_at, 0, 2 * KNOWN_SPELLINGS * sizeof *r->spelling_at);
    r->spellings = 0;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------- */

static int add_record(reader *r, const text *values, int32_t platform, int64_t time) {
    if (platform >= r->tables) {
        if (!grow((void **)&r->records, &r->tables, platform + 1, sizeof(table))) return 0;
        memset(r->records + r->platforms, 0, (size_t)(r->tables - r->platforms) * sizeof(table));
    }
    if (platform >= r->platforms) r->platforms = platform + 1;
    table *t = &r->records[platform];
    text block = {r->data, r->size};
    if (!table_room(t, 0)) return 0;
    if (!append(&t->user_id, t->rows, values[USER_ID], block)) return 0;
    if (!append(&t->session_id, t->rows, values[SESSION_ID], block)) return 0;
    if (!append(&t->activity_type, t->rows, values[ACTIVITY_TYPE], block)) return 0;
    t->time[t->rows++] = time;
    return 1;
}

/* Adds a record to its session. Only sessions that were seen lately are found again, in a table of their hashes with
 * one place for each: the caller must put together what is left apart. */
static int add_to_session(reader *r, const text *values, int32_t platform, int64_t time) {
    table *t = &r->session_rows;
    uint64_t sum = hash(values[SESSION_ID], hash(values[USER_ID], (uint64_t)platform));
    recent *place = &r->recent[sum >> 49];
    const int64_t row = (int64_t)place->row - 1;
    if (row >= 0 && place->tag == (uint32_t)sum && t->platform[row] == platform
        && same(row_of(&t->session_id, row), values[SESSION_ID]) && same(row_of(&t->user_id, row), values[USER_ID])) {
        if (time < t->time[row]) t->time[row] = time;
        if (time > t->last_time[row]) t->last_time[row] = time;
        t->events[row]++;
        return 1;
    }
    if (!table_room(t, 1)) return 0;
    text block = {r->data, r->size};
    if (!append(&t->user_id, t->rows, values[USER_ID], block)) return 0;
    if (!append(&t->session_id, t->rows, values[SESSION_ID], block)) return 0;
    *place = (recent){(uint32_t)sum, (uint32_t)t->rows + 1};
    t->platform[t->rows] = platform;
    t->time[t->rows] = t->last_time[t->rows] = time;
    t->events[t->rows++] = 1;
    return 1;
}

/* Adds a malformed record. In its raw text each byte that is not UTF-8 is written as \xff. */
static enum status add_fault(reader *r, int64_t line, enum reason why, int64_t start, int64_t end) {
    faults *f = &r->fault_rows;
    int64_t length = end - start;
    r->reasons[why]++;
    if (why == ENCODING) {
        for (int64_t i = start; i < end;) {
            int size = character(r->data + i, end - i);
            if (!size) length += 3;
            i += size ? size : 1;
        }
        if (length > r->d.longest) return TOO_LONG;
    }
    if (!(r->wanted & FAULTS) && f->rows) return DONE; /* the first one is told even so */
    if (f->rows >= f->capacity) {
        int64_t rows = f->capacity ? f->capacity * 2 : 64;
        if (!room_for((void **)&f->line, rows, 8) || !room_for((void **)&f->reason, rows, 1)
            || !more_ends(&f->raw, rows)) return NO_MEMORY;
        f->capacity = rows;
    }
    f->line[f->rows] = line;
    f->reason[f->rows] = (int8_t)why;
    if (!grow((void **)&f->raw.bytes, &f->raw.capacity, f->raw.size + length + 1, 1)) return NO_MEMORY;
    uint8_t *target = f->raw.bytes + f->raw.size;
    if (why != ENCODING) memcpy(target, r->data + start, (size_t)length);
    else for (int64_t i = start; i < end;) {
        int size = character(r->data + i, end - i);
        if (size) memcpy(target, r->data + i, (size_t)size), target += size;
        else {
            const uint8_t byte = r->data[i];
            const uint8_t shown[] = {'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
            memcpy(target, shown, 4), target += 4;
        }
        i += size ? size : 1;
    }
    f->raw.size += length;
    f->raw.ends[++f->rows] = (int32_t)f->raw.size;
    return DONE;
}

/* ---- Records ---------------------------------------------------------------------------------------------------- */

/* The first of encoding, unterminated_quote and bad_quote that holds for what follows a line end inside a record. */
static enum reason fault_after(const extent *e, int64_t offset) {
    if (e->last_invalid >= offset) return ENCODING;
    if (e->unterminated) return UNTERMINATED_QUOTE;
    return e->last_bad_quote >= offset ? BAD_QUOTE : SOUND;
}

/* The first of these reasons that holds for a record, as far as it was read. */
static enum reason quote_fault(reader *r, const record *s) {
    int64_t end = s->is_known ? s->first_end : s->end;
    int64_t invalid = r->last_odd < s->start ? -1 : last_invalid(r->data, s->start, end);
    if (s->inner_lines && !s->is_known && s->is_uniform)
        r->known = (extent){s->second_line, s->next, 0, s->bad_quote, invalid, s->inner_state, s->is_open};
    enum reason after = s->is_known ? fault_after(&r->known, s->second_line) : SOUND;
    if (invalid >= 0 || after == ENCODING) return ENCODING;
    if (s->is_open || after == UNTERMINATED_QUOTE) return UNTERMINATED_QUOTE;
    return s->bad_quote >= 0 ? BAD_QUOTE : after;
}

static enum reason width_fault(const reader *r, const record *s) {
    int32_t fields = s->fields;
    if (r->d.trailing_delimiter && fields == r->d.width + 1 && is_blank(r->data, s->last_field, s->end)) fields--;
    return fields < r->d.width ? TOO_FEW_FIELDS : fields > r->d.width ? TOO_MANY_FIELDS : SOUND;
}

/* Applies the rules for fields, in order of precedence. */
static enum reason field_fault(const text *values, int32_t platform, int has_time) {
    if (!values[USER_ID].length) return MISSING_USER_ID;
    if (!values[SESSION_ID].length) return MISSING_SESSION_ID;
    if (!values[PLATFORM].length) return MISSING_PLATFORM;
    if (platform < 0) return UNKNOWN_PLATFORM;
    if (!values[ACTIVITY_TIME].length) return MISSING_ACTIVITY_TIME;
    if (!has_time) return BAD_ACTIVITY_TIME;
    return values[ACTIVITY_TYPE].length ? SOUND : MISSING_ACTIVITY_TYPE;
}

/* Gives up the first line of a record whose structure is malformed; reading resumes on the next line. */
static enum status reject_line(reader *r, const record *s, enum reason why) {
    enum status status = add_fault(r, r->line, why, s->start, s->inner_lines ? s->first_end : s->end);
    if (status) return status;
    r->read++, r->line++;
    r->at = s->inner_lines ? s->second_line : s->next;
    if (s->inner_lines || s->is_open) seek(r, r->at);
    return DONE;
}

/* Reads the record at r->at and goes on to the next one, unless something is needed first. */
static inline enum status read_record(reader *r) {
    record s;
    scan(r, &s, r->at, BARE, 0);
    if (s.is_open && !r->is_last) {
        r->open_at = s.second_line, r->open_state = s.inner_state;
        return NEEDS_EXTENT;
    }
    if ((s.inner_lines ? s.first_end : s.end) - s.start > r->d.longest) return TOO_LONG;
    uint8_t first = r->data[s.start];
    if (first - 0x21u >= 0x5E && !s.inner_lines && is_blank(r->data, s.start, s.end)) {
        r->at = s.next, r->line++;
        return DONE;
    }
    enum reason why = quote_fault(r, &s);
    if (why != SOUND) return reject_line(r, &s, why);
    if (s.is_known) {
        if (r->known.end - s.start > r->d.longest) return TOO_LONG;
        if (r->known.end > r->size) { r->open_at = r->known.end; return NEEDS_DATA; }
        r->known.end = 0;
        seek(r, r->at);
        return read_record(r);
    }
    if (s.inner_lines && s.next - s.start > r->d.longest) return TOO_LONG;
    if ((why = width_fault(r, &s)) != SOUND) return reject_line(r, &s, why);

    text values[COLUMNS];
    if (!values_of(r, values)) return NO_MEMORY;
    /* A delimiter that is a control character itself may stand in quotes. */
    if (s.inner_lines || r->last_odd >= s.start || (s.is_marked && r->d.delimiter < 0x20))
        for (int c = 0; c < COLUMNS; c++)
            if (has_control(values[c])) return reject_line(r, &s, CONTROL_CHARACTER);
    int32_t platform = -1, number = 0;
    if (values[USER_ID].length && values[SESSION_ID].length && values[PLATFORM].length) {
        number = *spelling_place(r, values[PLATFORM], hash(values[PLATFORM], 0));
        if (!number) {
            r->question = values[PLATFORM];
            return NEEDS_PLATFORM;
        }
        platform = r->spelling_of[number - 1].platform;
    }
    int64_t time = 0;
    enum parsed parsed = parse_time(&r->d, r->days, values[ACTIVITY_TIME], &time);
    if (parsed == UNKNOWN_DAY) {
        r->open_at = time;
        return NEEDS_DAY;
    }
    if (number) r->spelling_of[number - 1].records++;
    why = field_fault(values, platform, parsed == TIME);
    if (why != SOUND) {
        enum status status = add_fault(r, r->line, why, s.start, s.end);
        if (status) return status;
    } else {
        if (r->wanted & RECORDS && !add_record(r, values, platform, time)) return NO_MEMORY;
        if (r->wanted & SESSIONS && !add_to_session(r, values, platform, time)) return NO_MEMORY;
        r->kept++;
    }
    r->read++;
    r->at = s.next, r->line += 1 + s.inner_lines;
    return DONE;
}

/* ---- Arrow's C data interface ----------------------------------------------------------------------------------- */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

typedef struct {
    const char *name, *format;
    void *memory[2]; /* its numbers; or the ends of its texts, and their bytes */
} column_out;

enum { NULLABLE = 2, MOST_COLUMNS = 6 };

static void release_schema(struct ArrowSchema *s) {
    for (int64_t i = 0; i < s->n_children; i++) {
        if (s->children[i]->release) s->children[i]->release(s->children[i]);
        free(s->children[i]);
    }
    free(s->children);
    s->release = NULL;
}

static void release_array(struct ArrowArray *a) {
    for (int64_t i = 0; i < a->n_children; i++) {
        if (a->children[i]->release) a->children[i]->release(a->children[i]);
        free(a->children[i]);
    }
    for (int64_t i = 0; i < a->n_buffers; i++) free((void *)a->buffers[i]);
    free(a->children), free(a->buffers);
    a->release = NULL;
}

/* Describes a struct of columns; format is NULL in the last one. Gives 0 where there is no memory. */
static int describe(const column_out *columns, struct ArrowSchema *schema) {
    *schema = (struct ArrowSchema){.format = "+s", .name = "", .release = release_schema};
    schema->children = calloc(MOST_COLUMNS, sizeof(void *));
    for (int i = 0; schema->children && columns[i].format; i++) {
        struct ArrowSchema *s = schema->children[i] = calloc(1, sizeof *s);
        if (!s) break;
        *s = (struct ArrowSchema){
            .format = columns[i].format, .name = columns[i].name, .flags = NULLABLE, .release = release_schema};
        schema->n_children++;
        if (!columns[i + 1].format) return 1;
    }
    schema->release(schema);
    return 0;
}

/* Hands over a struct of columns, and with them their memory. Gives 0 where there is no memory. */
static int hand_over(column_out *columns, int64_t rows, struct ArrowArray *array) {
    *array = (struct ArrowArray){.length = rows, .release = release_array};
    array->children = calloc(MOST_COLUMNS, sizeof(void *));
    array->buffers = calloc(1, sizeof(void *));
    array->n_buffers = array->buffers ? 1 : 0;
    int works = array->children && array->buffers;
    for (int i = 0; works && columns[i].format; i++) {
        struct ArrowArray *a = array->children[i] = calloc(1, sizeof *a);
        const void **buffers = calloc(3, sizeof(void *));
        works = a && buffers;
        if (!works) { free(a), free(buffers); break; }
        *a = (struct ArrowArray){
            .length = rows, .n_buffers = columns[i].memory[1] ? 3 : 2, .buffers = buffers, .release = release_array};
        buffers[1] = columns[i].memory[0], buffers[2] = columns[i].memory[1];
        columns[i].memory[0] = columns[i].memory[1] = NULL;
        array->n_children++;
    }
    if (works) return 1;
    for (int i = 0; columns[i].format; i++) free(columns[i].memory[0]), free(columns[i].memory[1]);
    array->release(array);
    return 0;
}

/* Hands over rows with their schema. Gives their number; without rows nothing is handed over. -1: no memory. */
static int64_t export(column_out *columns, int64_t rows, struct ArrowSchema *schema, struct ArrowArray *array) {
    if (!rows) return 0;
    if (!hand_over(columns, rows, array)) return -1;
    if (describe(columns, schema)) return rows;
    array->release(array);
    return -1;
}

/* ---- What Python calls ------------------------------------------------------------------------------------------ */

EXPORTED void uda_close(reader *r) {
    if (!r) return;
    for (int64_t i = 0; i < r->platforms; i++) table_free(&r->records[i]);
    if (r->spelling_at) forget_spellings(r);
    table_free(&r->session_rows);
    faults_free(&r->fault_rows);
    free(r->days), free(r->records), free(r->recent), free(r->slots), free(r->scratch), free(r->spelling_of), free(r->spelling_at);
    free(r);
}

/* A reader of drops in a dialect, whose memory the caller keeps; or NULL if there is no memory. */
EXPORTED reader *uda_open(const dialect *d, int32_t wanted) {
    reader *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->d = *d, r->wanted = wanted;
    /* What is missing is put in the place of the delimiter, which is looked for first. */
    if (!r->d.quote) r->d.quote = d->delimiter;
    if (!r->d.escape) r->d.escape = d->delimiter;
    r->is_direct = !d->nulls;
    for (int c = 0; c < COLUMNS; c++) r->is_direct &= d->part_end[c] == c + 1;
    r->slots = calloc((size_t)d->slots + 1, sizeof *r->slots);
    r->recent = malloc(RECENT_SESSIONS * sizeof *r->recent);
    r->spelling_at = calloc(2 * KNOWN_SPELLINGS, sizeof *r->spelling_at);
    r->spelling_of = calloc(KNOWN_SPELLINGS, sizeof *r->spelling_of);
    if (d->is_local) r->days = calloc(KNOWN_DAYS, sizeof *r->days);
    if (d->is_local && !r->days) { uda_close(r); return NULL; }
    if (r->slots && r->recent && r->spelling_at && r->spelling_of) return r;
    uda_close(r);
    return NULL;
}

/* Forgets what was read and begins a block. */
EXPORTED void uda_begin(reader *r) {
    for (int64_t i = 0; i < r->platforms; i++) table_free(&r->records[i]);
    table_free(&r->session_rows);
    faults_free(&r->fault_rows);
    memset(r->recent, 0, RECENT_SESSIONS * sizeof *r->recent);
    memset(r->reasons, 0, sizeof r->reasons);
    if (r->spellings == KNOWN_SPELLINGS) forget_spellings(r);
    for (int64_t i = 0; i < r->spellings; i++) r->spelling_of[i].records = 0;
    r->at = r->line = r->read = r->kept = 0;
    r->platforms = r->sessions = r->malformed = r->lost_spellings = 0;
    r->known = (extent){0};
}

/* Reads a block from r->at on until it is done or something is needed. */
EXPORTED int uda_read(reader *r, const uint8_t *data, int64_t size, int is_last) {
    enum status status = DONE;
    r->data = data, r->size = size, r->is_last = is_last;
    seek(r, r->at);
    while (r->at < size && !(status = read_record(r))) {}
    r->sessions = r->session_rows.rows, r->malformed = r->fault_rows.rows;
    return status;
}

/* Says what the spelling that was asked for means: the number of a platform, or -1 if it is unknown. */
EXPORTED int uda_answer(reader *r, int32_t platform) {
    if (r->spellings == KNOWN_SPELLINGS) {
        r->lost_spellings += r->spellings;
        forget_spellings(r);
    }
    uint8_t *copy = malloc((size_t)r->question.length);
    if (!copy) return NO_MEMORY;
    memcpy(copy, r->question.at, (size_t)r->question.length);
    text t = {copy, r->question.length};
    uint64_t sum = hash(t, 0);
    r->spelling_of[r->spellings] = (spelling){t, sum, platform, 0};
    *spelling_place(r, t, sum) = (int32_t)++r->spellings;
    return DONE;
}

/* Says which offsets hold on the local day that was asked for, from which second on; at most MOST_PIECES. */
EXPORTED void uda_tell_day(reader *r, int64_t day, int32_t pieces, const int32_t *from, const int32_t *offset) {
    local_day *place = &r->days[(uint64_t)day % KNOWN_DAYS];
    place->day = day, place->pieces = pieces;
    memcpy(place->from, from, (size_t)pieces * sizeof *from);
    memcpy(place->offset, offset, (size_t)pieces * sizeof *offset);
}

/* Says what follows the open line; offsets are those of the block. */
EXPORTED void uda_follow(reader *r, const extent *e) { r->known = *e; }

/* Walks through whole lines that follow an open line, from e->end on, which is where `data` starts. Adds to the extent
 * up to the end of the record. Returns 1 when that is reached. */
EXPORTED int uda_walk(reader *r, const uint8_t *data, int64_t size, int is_last, extent *e, int32_t *state) {
    record s;
    r->data = data, r->size = size, r->is_last = is_last, r->known = (extent){0};
    seek(r, 0);
    scan(r, &s, 0, *state, 1);
    int64_t end = s.is_open ? size : s.next;
    int64_t invalid = last_invalid(data, 0, end);
    if (s.bad_quote >= 0) e->last_bad_quote = e->end + s.bad_quote;
    if (invalid >= 0) e->last_invalid = e->end + invalid;
    if (s.inner_lines && (!s.is_uniform || s.inner_state != e->state)) e->state = -1;
    e->lines += s.inner_lines + !s.is_open;
    e->end += end;
    e->unterminated = s.is_open && is_last;
    *state = s.state;
    return !s.is_open || is_last;
}

/* Hands over the accepted records of a platform. */
EXPORTED int64_t uda_records(reader *r, int32_t platform, struct ArrowSchema *schema, struct ArrowArray *array) {
    table t = r->records[platform];
    column_out columns[] = {
        {"user_id", "u", {t.user_id.ends, t.user_id.bytes}},
        {"session_id", "u", {t.session_id.ends, t.session_id.bytes}},
        {"activity_time", "tsu:UTC", {t.time, NULL}},
        {"activity_type", "u", {t.activity_type.ends, t.activity_type.bytes}},
        {NULL, NULL, {NULL, NULL}}};
    if (t.rows) memset(&r->records[platform], 0, sizeof t);
    return export(columns, t.rows, schema, array);
}

static void session_columns(const table *t, column_out *columns) {
    const column_out all[] = {
        {"platform", "i", {t->platform, NULL}},
        {"user_id", "u", {t->user_id.ends, t->user_id.bytes}},
        {"session_id", "u", {t->session_id.ends, t->session_id.bytes}},
        {"started_at", "tsu:UTC", {t->time, NULL}},
        {"ended_at", "tsu:UTC", {t->last_time, NULL}},
        {"events", "l", {t->events, NULL}},
        {NULL, NULL, {NULL, NULL}}};
    memcpy(columns, all, sizeof all);
}

/* Hands over the sessions; `platform` is its number. */
EXPORTED int64_t uda_sessions(reader *r, struct ArrowSchema *schema, struct ArrowArray *array) {
    column_out columns[MOST_COLUMNS + 1];
    int64_t rows = r->session_rows.rows;
    session_columns(&r->session_rows, columns);
    if (rows) memset(&r->session_rows, 0, sizeof(table));
    return export(columns, rows, schema, array);
}

/* Gives the schema of the sessions alone; 0 where there is no memory. */
EXPORTED int uda_describe_sessions(struct ArrowSchema *schema) {
    column_out columns[MOST_COLUMNS + 1];
    session_columns(&(table){0}, columns);
    return describe(columns, schema);
}

/* Hands over the malformed records: line (from 0 at the start of the block), reason (its number), raw text. */
EXPORTED int64_t uda_malformed(reader *r, struct ArrowSchema *schema, struct ArrowArray *array) {
    faults f = r->fault_rows;
    column_out columns[] = {
        {"line", "l", {f.line, NULL}},
        {"reason", "c", {f.reason, NULL}},
        {"raw", "u", {f.raw.ends, f.raw.bytes}},
        {NULL, NULL, {NULL, NULL}}};
    if (f.rows) memset(&r->fault_rows, 0, sizeof f);
    return export(columns, f.rows, schema, array);
}

/* Gives the first malformed record of the block. */
EXPORTED void uda_first_fault(const reader *r, int64_t *line, int32_t *reason, text *raw) {
    *line = r->fault_rows.line[0], *reason = r->fault_rows.reason[0], *raw = row_of(&r->fault_rows.raw, 0);
}

/* Gives a known spelling of a platform, and the records that have it. */
EXPORTED int64_t uda_spelling(const reader *r, int64_t number, text *name) {
    *name = r->spelling_of[number].spelling;
    return r->spelling_of[number].records;
}

/* Splits a line into its fields, of which the dialect wants all. Gives their number; -1 if a quote is out of place. */
EXPORTED int32_t uda_split(reader *r, const uint8_t *line, int64_t size) {
    record s;
    r->data = line, r->size = size, r->is_last = 1, r->known = (extent){0};
    seek(r, 0);
    scan(r, &s, 0, BARE, 0);
    if (s.is_open || s.bad_quote >= 0 || s.inner_lines) return -1;
    return grow((void **)&r->scratch, &r->scratch_capacity, size + SLACK, 1) ? s.fields : -1;
}

/* Gives a field of the line that was split last. */
EXPORTED void uda_field(const reader *r, int32_t number, text *field) {
    uint8_t *scratch = r->scratch;
    *field = slot_text(r, r->slots[number], &scratch);
}
