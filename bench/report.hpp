// What a benchmark found: figures with their spread and what each counts. One thread.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/driftwood/console.hpp"
#include "statistics.hpp"

namespace driftwood::bench {

/// Which way a figure improves. It has no default, so a figure that does not say it does not compile.
class Better {
 public:
  enum Way { less, more };
  constexpr Better(Way way) : way_(way) {}
  friend bool operator==(Better, Better) = default;

 private:
  Way way_;
};

struct Figure {
  std::string name;  ///< the field of the report: "host_call_ns"
  std::string unit;  ///< "ns"; "ratio"
  Better better;
  std::string counts;          ///< what is in it, from where to where
  Summary summary;             ///< its median is the figure
  std::optional<double> goal;  ///< that is reached or bettered
};

class Report {
 public:
  /// `bench`: the benchmark's name.
  explicit Report(std::string bench) : bench_(std::move(bench)) {}

  void add(Figure figure) { figures_.push_back(std::move(figure)); }
  /// A field beside the figures that says how they were measured.
  void add_fact(std::string name, cli::Json value) { facts_[std::move(name)] = std::move(value); }

  /// {"bench", "machine", the facts, each figure's median under its name,
  ///  "details": {figure: {"median", "min", "p95", "runs", "unit", "better", "goal", "counts"}}}
  cli::Json to_json() const;
  /// For people, on standard output.
  void print() const;

 private:
  std::string bench_;
  std::vector<Figure> figures_;
  cli::Json facts_ = cli::Json::object();
};

}  // namespace driftwood::bench
