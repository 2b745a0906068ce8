// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a process of Suture has undertaken for a patch, as a file under /run/suture: so that others
// can tell what is to happen to the patch, also when that process was killed. Each is JSON, put in
// place by a rename and gone with the next boot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "machine/sysfs.h"

namespace suture::live {

struct Record {
  enum class Kind {
    loading,    // a load waits for the transition, and takes the patch back at the deadline
    trial,      // the patch is taken back at the deadline unless it is accepted
    reverting,  // that deadline has passed: it is being taken back
  };
  std::string patch;
  Kind kind = Kind::loading;
  int pid = 0;  // the process that sees to it
  unsigned long long start_time = 0;
  double deadline = 0;       // seconds since boot, sleep included; 0 for none
  double trial_seconds = 0;  // how long the trial is to be, once the transition is over
};

std::string to_json(const Record& record);
std::optional<Record> parse_record_file(std::string_view json);

// All records, by patch. Files that are no records are left out.
std::vector<Record> read_records(const machine::Machine& machine);
std::optional<Record> read_record(const machine::Machine& machine, const std::string& patch);
fs::path record_path(const machine::Machine& machine, const std::string& patch);

// Held by whoever reads a record in order to change it.
Result<FileLock> lock_records(const machine::Machine& machine);
Status write_record(const machine::Machine& machine, const Record& record);
// True for the one caller that took the record away.
bool remove_record(const machine::Machine& machine, const std::string& patch);

// The process that sees to it is alive.
bool keeper_alive(const machine::Machine& machine, const Record& record);
// Fills in that process, or this one.
void keep_by(const machine::Machine& machine, Record& record, int pid);
void keep_by_this_process(const machine::Machine& machine, Record& record);

// Notes that the patch came into force now. The note is about this very load: a module of the same
// name that is loaded later, by whatever, is another one.
void note_load(const machine::Machine& machine, const std::string& patch);
// When that was, in seconds since 1970; nothing where Suture did not load it.
std::optional<std::int64_t> loaded_at(const machine::Machine& machine, const std::string& patch);

// The clock of the deadlines: seconds since boot, sleep included.
double seconds_since_boot();

}  // namespace suture::live
