// Which sanitizers a test is built with, as 0 or 1: GCC tells it by macros, clang by features.
#pragma once

#if defined(__has_feature)
#define DW_HAS_FEATURE(feature) __has_feature(feature)
#else
#define DW_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || DW_HAS_FEATURE(address_sanitizer)
#define DW_WITH_ASAN 1
#else
#define DW_WITH_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || DW_HAS_FEATURE(thread_sanitizer)
#define DW_WITH_TSAN 1
#else
#define DW_WITH_TSAN 0
#endif
