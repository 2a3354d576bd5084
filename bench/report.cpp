#include "report.hpp"

#include <fmt/format.h>

#include "machine_facts.hpp"

namespace driftwood::bench {
namespace {

std::string number(double value) { return fmt::format("{:.4g}", value); }

std::string goal_of(const Figure& figure) {
  if (!figure.goal) return {};
  return fmt::format("{} {}", figure.better == Better::less ? "<=" : ">=", number(*figure.goal));
}

cli::Json details_of(const Figure& figure) {
  cli::Json details = {{"median", figure.summary.median},
                       {"min", figure.summary.min},
                       {"q25", figure.summary.q25},
                       {"q75", figure.summary.q75},
                       {"p95", figure.summary.p95},
                       {"runs", figure.summary.runs},
                       {"unit", figure.unit},
                       {"better", figure.better == Better::less ? "less" : "more"}};
  if (figure.goal) details["goal"] = goal_of(figure);
  details["counts"] = figure.counts;
  return details;
}

}  // namespace

cli::Json Report::to_json() const {
  cli::Json report = {{"bench", bench_}, {"machine", machine_facts()}};
  report.update(facts_);
  cli::Json details = cli::Json::object();
  for (const Figure& figure : figures_) {
    report[figure.name] = figure.summary.median;
    details[figure.name] = details_of(figure);
  }
  report["details"] = std::move(details);
  return report;
}

void Report::print() const {
  const cli::Json machine = machine_facts();
  fmt::print("{} on {}, {} cores, {}\n\n", bench_, machine["processor"].get<std::string>(), machine["cores"].dump(),
             machine["system"].get<std::string>());
  std::vector<std::vector<std::string>> rows = {{"figure", "median", "goal", "min", "p95", "runs"}};
  for (const Figure& figure : figures_) {
    rows.push_back({figure.name, number(figure.summary.median), goal_of(figure), number(figure.summary.min),
                    number(figure.summary.p95), std::to_string(figure.summary.runs)});
  }
  cli::print_table(rows);
  fmt::print("\n");
  for (const Figure& figure : figures_) fmt::print("{}: {}\n", figure.name, figure.counts);
  for (const auto& [name, value] : facts_.items()) fmt::print("{}: {}\n", name, value.dump());
}

}  // namespace driftwood::bench
