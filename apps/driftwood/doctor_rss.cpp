#include <cstring>
#include <memory>

#include "core/bytes.hpp"
#include "doctor_links.hpp"
#include "machine.hpp"
#include "memory/region.hpp"

namespace driftwood::cli {
namespace {

constexpr std::size_t kRange = 16 * kMiB;
constexpr double kMegabyte = 1e6;

Result<std::unique_ptr<Region>> written_region() {
  DW_TRY_ASSIGN(auto region, Region::create({.reserve = kRange, .commit = kRange}));
  std::memset(region->data(), 7, kRange);
  return region;
}

Result<double> import_growth(Device& device) {
  DW_TRY_ASSIGN(const auto region, written_region());
  DW_TRY_ASSIGN(const std::uint64_t before, resident_bytes());
  DW_TRY_ASSIGN(const Import import, device.import(*region, {0, kRange}, Require::any));
  DW_TRY_ASSIGN(const std::uint64_t after, resident_bytes());
  return (static_cast<double>(after) - static_cast<double>(before)) / kMegabyte;
}

Result<double> copy_growth() {
  DW_TRY_ASSIGN(const auto region, written_region());
  // Memory of the heap may be resident from an earlier use.
  DW_TRY_ASSIGN(const auto copy, Region::create({.reserve = kRange, .commit = kRange}));
  DW_TRY_ASSIGN(const std::uint64_t before, resident_bytes());
  std::memcpy(copy->data(), region->data(), kRange);
  DW_TRY_ASSIGN(const std::uint64_t after, resident_bytes());
  return (static_cast<double>(after) - static_cast<double>(before)) / kMegabyte;
}

Result<void> measure(Device& device, RssReport& report) {
  DW_TRY(import_growth(device));  // warms up what the device allocates once
  DW_TRY_ASSIGN(report.import_mb, import_growth(device));
  DW_TRY_ASSIGN(report.copy_mb, copy_growth());
  const bool shared = device.info().capabilities.import_sharing != Sharing::copied;
  if (shared && report.import_mb > report.copy_mb / 2) {
    return fail(ErrorCode::internal, "An import that shares memory took as much of it as a copy.");
  }
  return {};
}

}  // namespace

RssReport examine_rss(Device& device) {
  RssReport report;
  const auto outcome = measure(device, report);
  report.ok = outcome.has_value();
  if (!outcome) report.problem = outcome.error().to_string();
  return report;
}

}  // namespace driftwood::cli
