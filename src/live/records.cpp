// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/records.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "machine/directory.h"
#include "machine/proc_stat.h"

namespace suture::live {

namespace {

using nlohmann::json;

constexpr std::string_view suffix = ".json";
constexpr std::array<std::pair<Record::Kind, std::string_view>, 3> kind_names = {{
    {Record::Kind::loading, "loading"},
    {Record::Kind::trial, "trial"},
    {Record::Kind::reverting, "reverting"},
}};

// Of a plain name (machine::is_plain_name).
fs::path record_path(const machine::Machine& machine, const std::string& patch) {
  return records_directory(machine) / (patch + std::string(suffix));
}

std::optional<machine::ProcStat> stat_of(const machine::Machine& machine, int pid) {
  auto process = machine::Directory::open(machine.proc / fmt::format("{}", pid));
  return process ? machine::read_stat(*process) : std::nullopt;
}

}  // namespace

std::string to_json(const Record& record) {
  auto kind = std::ranges::find(kind_names, record.kind, [](const auto& it) { return it.first; });
  return json{{"patch", record.patch},       {"kind", kind->second},
              {"pid", record.pid},           {"start_time", record.start_time},
              {"deadline", record.deadline}, {"trial_seconds", record.trial_seconds}}
             .dump(2, ' ', false, json::error_handler_t::replace) +
         "\n";
}

std::optional<Record> parse_record_file(std::string_view text) {
  try {
    const json parsed = json::parse(text);
    const std::string word = parsed.at("kind");
    auto kind = std::ranges::find(kind_names, word, [](const auto& it) { return it.second; });
    if (kind == kind_names.end()) {
      return std::nullopt;
    }
    Record record{.patch = parsed.at("patch"),
                  .kind = kind->first,
                  .pid = parsed.at("pid"),
                  .start_time = parsed.at("start_time"),
                  .deadline = parsed.at("deadline"),
                  .trial_seconds = parsed.at("trial_seconds")};
    return machine::is_plain_name(record.patch) ? std::optional(std::move(record)) : std::nullopt;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::vector<Record> read_records(const machine::Machine& machine) {
  std::vector<Record> records;
  std::error_code ec;
  for (fs::directory_iterator it(records_directory(machine), ec), end; !ec && it != end;
       it.increment(ec)) {
    if (it->path().extension() != suffix) {
      continue;
    }
    auto text = read_text(it->path());
    if (auto record = text ? parse_record_file(*text) : std::nullopt) {
      records.push_back(std::move(*record));
    }
  }
  std::ranges::sort(records, {}, &Record::patch);
  return records;
}

Result<std::optional<Record>> read_record(const machine::Machine& machine,
                                          const std::string& patch) {
  TRY(machine::check_patch_name(patch));
  const fs::path path = record_path(machine, patch);
  auto text = read_text(path);
  if (!text) {
    return std::nullopt;
  }
  auto record = parse_record_file(*text);
  if (!record) {
    return fail(Code::bad_config, path.string(), "it is damaged, or of another version of Suture",
                fmt::format("remove the file; `suture unload {}` takes the patch back", patch));
  }
  return record;
}

fs::path records_directory(const machine::Machine& machine) { return machine.run / "patches"; }

Result<FileLock> lock_records(const machine::Machine& machine) {
  TRY(make_directories(records_directory(machine)));
  constexpr double seconds = 10;  // it is held for a few reads and writes
  return FileLock::acquire(records_directory(machine) / ".lock", seconds);
}

Status write_record(const machine::Machine& machine, const Record& record) {
  TRY(machine::check_patch_name(record.patch));
  TRY(make_directories(records_directory(machine)));
  return write_file(record_path(machine, record.patch), to_json(record));
}

bool remove_record(const machine::Machine& machine, const std::string& patch) {
  return machine::is_plain_name(patch) && ::unlink(record_path(machine, patch).c_str()) == 0;
}

bool keeper_alive(const machine::Machine& machine, const Record& record) {
  auto stat = stat_of(machine, record.pid);
  return stat && stat->start_time == record.start_time && stat->state != 'Z';
}

void keep_by(const machine::Machine& machine, Record& record, int pid) {
  record.pid = pid;
  record.start_time = stat_of(machine, pid).value_or(machine::ProcStat{}).start_time;
}

void keep_by_this_process(const machine::Machine& machine, Record& record) {
  keep_by(machine, record, ::getpid());
}

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace suture::live
