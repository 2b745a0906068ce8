// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/records.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <tuple>
#include <utility>

#include "base/json.h"
#include "machine/directory.h"
#include "machine/proc_stat.h"

namespace suture::live {

namespace {

constexpr std::string_view suffix = ".json";
constexpr std::array<std::pair<Record::Kind, std::string_view>, 3> kind_names = {{
    {Record::Kind::loading, "loading"},
    {Record::Kind::trial, "trial"},
    {Record::Kind::reverting, "reverting"},
}};

fs::path records_directory(const machine::Machine& machine) { return machine.run / "patches"; }

std::optional<machine::ProcStat> stat_of(const machine::Machine& machine, int pid) {
  auto process = machine::Directory::open(machine.proc / fmt::format("{}", pid));
  return process ? machine::read_stat(*process) : std::nullopt;
}

}  // namespace

std::string to_json(const Record& record) {
  auto kind = std::ranges::find(kind_names, record.kind, [](const auto& it) { return it.first; });
  return Json{{"patch", record.patch},       {"kind", kind->second},
              {"pid", record.pid},           {"start_time", record.start_time},
              {"deadline", record.deadline}, {"trial_seconds", record.trial_seconds}}
             .text() +
         "\n";
}

std::optional<Record> parse_record_file(std::string_view text) {
  const Json parsed = Json::parse(text).value_or(Json{});
  JsonReader reader(parsed);
  auto kind =
      std::ranges::find(kind_names, reader.text("kind"), [](const auto& it) { return it.second; });
  if (kind == kind_names.end()) {
    return std::nullopt;
  }
  Record record{.patch = reader.text("patch"),
                .kind = kind->first,
                .pid = static_cast<int>(reader.integer("pid")),
                .start_time = static_cast<unsigned long long>(reader.integer("start_time")),
                .deadline = reader.number("deadline"),
                .trial_seconds = reader.number("trial_seconds")};
  return reader.whole() ? std::optional(std::move(record)) : std::nullopt;
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

std::optional<Record> read_record(const machine::Machine& machine, const std::string& patch) {
  auto text = read_text(record_path(machine, patch));
  return text ? parse_record_file(*text) : std::nullopt;
}

fs::path record_path(const machine::Machine& machine, const std::string& patch) {
  return records_directory(machine) / (patch + std::string(suffix));
}

Result<FileLock> lock_records(const machine::Machine& machine) {
  TRY(make_directories(records_directory(machine)));
  return FileLock::acquire(records_directory(machine) / ".lock");
}

Status write_record(const machine::Machine& machine, const Record& record) {
  TRY(make_directories(records_directory(machine)));
  return write_file(record_path(machine, record.patch), to_json(record));
}

bool remove_record(const machine::Machine& machine, const std::string& patch) {
  return ::unlink(record_path(machine, patch).c_str()) == 0;
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

namespace {

fs::path note_path(const machine::Machine& machine, const std::string& patch) {
  return machine.run / "loaded" / (patch + std::string(suffix));
}

// Each load of a module makes its directory anew, with another inode; 0 where it is not loaded.
std::int64_t load_number(const machine::Machine& machine, const std::string& patch) {
  struct stat seen {};
  return ::stat((machine.sys / "module" / patch).c_str(), &seen) == 0
             ? static_cast<std::int64_t>(seen.st_ino)
             : 0;
}

}  // namespace

void note_load(const machine::Machine& machine, const std::string& patch) {
  const Json note{{"time", static_cast<std::int64_t>(std::time(nullptr))},
                  {"load", load_number(machine, patch)}};
  // Without it status does not say when the patch was loaded, and nothing else changes.
  std::ignore = make_directories(note_path(machine, patch).parent_path());
  std::ignore = write_file(note_path(machine, patch), note.text() + "\n");
}

std::optional<std::int64_t> loaded_at(const machine::Machine& machine, const std::string& patch) {
  const auto text = read_text(note_path(machine, patch));
  const Json json = text ? Json::parse(*text).value_or(Json{}) : Json{};
  JsonReader note(json);
  const std::int64_t time = note.integer("time");
  return note.whole() && note.integer("load") == load_number(machine, patch) ? std::optional(time)
                                                                             : std::nullopt;
}

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace suture::live
