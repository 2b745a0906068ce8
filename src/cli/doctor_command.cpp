// SPDX-License-Identifier: GPL-2.0-or-later
#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <memory>

#include "cli/boot_unit.h"
#include "cli/command.h"
#include "cli/live_report.h"
#include "cli/tools.h"
#include "doctor/diagnosis.h"

namespace suture::cli {

namespace {

Json installed_json(const doctor::InstalledRelease& entry) {
  Json out{{"release", entry.release},
           {"guard",
            {{"raised", entry.guard.raised},
             {"boot_id", entry.guard.boot_id},
             {"time", entry.guard.time}}},
           {"patches", Json::array()}};
  for (const doctor::InstalledState& state : entry.patches) {
    Json patch{{"name", state.patch.name},       {"version", state.patch.version},
               {"replace", state.patch.replace}, {"sha256", state.patch.sha256},
               {"loaded", state.loaded},         {"trusted", !state.wrong}};
    out["patches"].push_back(std::move(patch));
  }
  return out;
}

Json to_json(const doctor::Diagnosis& it, const std::vector<Tool>& found) {
  Json out{{"suture", SUTURE_VERSION},
           {"kernel",
            {{"release", it.release},
             {"version", it.version},
             {"build_id", it.build_id},
             {"livepatch", it.livepatch},
             {"core", it.core},
             {"command_line", it.command_line}}},
           {"signatures",
            {{"checked", it.signing.looks},
             {"enforced", it.signing.enforced},
             {"lockdown", it.signing.lockdown},
             {"firmware_keys", it.signing.firmware_keys}}},
           {"problems", errors_json(it.problems)},
           {"taint", Json::array()},
           {"loaded", Json::array()},
           {"installed", Json::array()},
           {"space", Json::array()},
           {"tools", Json::array()},
           {"log", it.log}};
  for (const doctor::TaintFlag& flag : it.taint) {
    out["taint"].push_back({{"flag", std::string(1, flag.letter)}, {"meaning", flag.meaning}});
  }
  for (const live::PatchStatus& loaded : it.status.patches) {
    Json patch = live_json(loaded.patch);
    if (loaded.metadata) {
      patch["version"] = loaded.metadata->version;
      patch["tool"] = loaded.metadata->tool;
      patch["description"] = loaded.metadata->description;
      patch["cves"] = loaded.metadata->cves;
    }
    patch["explanation"] = live::undertaking_text(loaded);
    out["loaded"].push_back(std::move(patch));
  }
  for (const doctor::InstalledRelease& entry : it.installed) {
    out["installed"].push_back(installed_json(entry));
  }
  for (const doctor::Space& space : it.space) {
    out["space"].push_back(
        {{"path", space.path}, {"free", space.free_bytes}, {"read_only", space.read_only}});
  }
  for (const Tool& tool : found) {
    out["tools"].push_back({{"for", purpose_name(tool.purpose)},
                            {"name", tool.name},
                            {"package", tool.package},
                            {"version", tool.version}});
  }
  return out;
}

std::string words(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& word : list) {
    out += (out.empty() ? "" : " ") + word;
  }
  return out.empty() ? "-" : out;
}

std::string facts_text(const doctor::Diagnosis& it) {
  std::string out;
  auto line = [&](std::string_view key, std::string_view value) {
    out += fmt::format("{:<12} {}\n", key, value.empty() ? "-" : value);
  };
  line("suture", SUTURE_VERSION);
  line("kernel", it.release);
  line("version", it.version);
  line("build id", it.build_id);
  line("livepatch", it.livepatch ? "yes" : "no");
  line("suture core", it.core ? "loaded" : "not loaded");
  line("command line", words(it.command_line));
  line("signatures", !it.signing.looks     ? "not checked"
                     : it.signing.enforced ? "enforced"
                                           : "checked, not enforced");
  line("lockdown", it.signing.lockdown);
  for (const doctor::TaintFlag& flag : it.taint) {
    line("taint", fmt::format("{}  {}", flag.letter, flag.meaning));
  }
  for (const doctor::Space& space : it.space) {
    line("space", fmt::format("{} MiB free at {}{}", space.free_bytes >> 20, space.path,
                              space.read_only ? ", read-only" : ""));
  }
  return out;
}

std::string patches_text(const doctor::Diagnosis& it) {
  std::string out;
  for (const live::PatchStatus& loaded : it.status.patches) {
    out += fmt::format("{:<12} {}  {}{}\n", "loaded", loaded.patch.name, state_word(loaded.patch),
                       loaded.metadata ? "  version " + loaded.metadata->version : "");
    if (const std::string text = live::undertaking_text(loaded); !text.empty()) {
      out += fmt::format("{:<12} {}\n", "", text);
    }
  }
  for (const doctor::InstalledRelease& entry : it.installed) {
    for (const doctor::InstalledState& state : entry.patches) {
      out +=
          fmt::format("{:<12} {}  for {}{}{}  {}\n", "installed", state.patch.name, entry.release,
                      state.patch.replace ? ", cumulative" : "", state.loaded ? ", loaded" : "",
                      state.wrong ? "NOT TRUSTED" : state.patch.sha256.substr(0, 16));
    }
    if (entry.guard.raised) {
      out += fmt::format("{:<12} raised at {} UTC, for {}\n", "boot guard", entry.guard.time,
                         entry.release);
    }
  }
  return out;
}

std::string to_text(const doctor::Diagnosis& it, const std::vector<Tool>& found, int fd) {
  std::string out;
  for (const Error& problem : it.problems) {
    out += error_text(problem, fd);
  }
  out += it.problems.empty() ? "no problems are seen\n\n" : "\n";
  out += facts_text(it);
  out += patches_text(it);
  out += tools_text(found);
  for (const std::string& line : it.log) {
    out += fmt::format("{}\n", line);
  }
  return out;
}

struct ArchiveFree {
  void operator()(archive* it) const { archive_write_free(it); }
  void operator()(archive_entry* it) const { archive_entry_free(it); }
};

// Both forms of the report in a .tar.zst, which takes the place of `path` once it is whole.
Status write_archive(const fs::path& path, const std::string& json, const std::string& text) {
  const std::unique_ptr<archive, ArchiveFree> out(archive_write_new());
  Bytes packed(json.size() + text.size() + (1U << 20));
  std::size_t used = 0;
  bool ok = out && archive_write_set_format_pax_restricted(out.get()) == ARCHIVE_OK &&
            archive_write_add_filter_zstd(out.get()) == ARCHIVE_OK &&
            archive_write_open_memory(out.get(), packed.data(), packed.size(), &used) == ARCHIVE_OK;
  for (const auto& [name, content] :
       {std::pair{"suture-doctor/doctor.json", &json}, {"suture-doctor/doctor.txt", &text}}) {
    const std::unique_ptr<archive_entry, ArchiveFree> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name);
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), std::time(nullptr), 0);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content->size()));
    ok = ok && archive_write_header(out.get(), entry.get()) == ARCHIVE_OK &&
         archive_write_data(out.get(), content->data(), content->size()) ==
             static_cast<la_ssize_t>(content->size());
  }
  if (!ok || archive_write_close(out.get()) != ARCHIVE_OK) {
    const char* why = out ? archive_error_string(out.get()) : nullptr;
    return fail(Code::io, path.string(), why == nullptr ? "it cannot be packed" : why,
                "check that memory is free");
  }
  return write_file(path, ByteView(packed).first(used));
}

Result<Report> run(const fs::path& archive, bool json) {
  doctor::Diagnosis diagnosis = doctor::diagnose(machine::Machine{}, boot::Store{});
  if (!diagnosis.installed.empty() && !boot_unit_enabled().value_or(true)) {
    diagnosis.problems.push_back(Error{Code::not_loaded, "suture.service",
                                       "it is not enabled: nothing loads the patches at boot",
                                       "systemctl enable suture.service"});
  }
  const std::vector<Tool> found = find_tools();
  Report report{.json = to_json(diagnosis, found),
                .text = to_text(diagnosis, found, json ? STDERR_FILENO : STDOUT_FILENO)};
  if (!archive.empty()) {
    const std::string body = report.json.text() + "\n";
    TRY(write_archive(archive, body, to_text(diagnosis, found, -1)));
    report.json["output"] = archive.string();
    report.text += fmt::format("written to {}\n", archive.string());
  }
  return report;
}

}  // namespace

void register_doctor(Commands& commands) {
  auto archive = std::make_shared<fs::path>();
  const Command command =
      commands.add("doctor", "Say what is wrong, and collect what support would ask for");
  command.example("suture doctor").example("suture doctor -o doctor.tar.zst");
  command.option("-o,--output FILE", *archive, "Also write it all to this file (.tar.zst)");
  commands.on_run(command, [archive, &commands] { return run(*archive, commands.json()); });
}

}  // namespace suture::cli
