// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: find what would get in the way of a patch, or silently takes its effect away, among all
// that can be attached to a function. Method: each kind has a list of its own in the kernel; each
// is read once and searched for the functions. What an attachment means follows from how ftrace
// calls its users (kernel/trace/ftrace.c): the redirection of a livepatch and of a kprobe with a
// post handler exclude each other (IPMODIFY); a probe at the entry is called beside the
// redirection; one further inside lies in code that no longer runs; fmod_ret and fail_function may
// end the function before it begins. Invariant: a list that cannot be read is named, never taken
// for empty.
#include "live/attachments.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "live/bpf_links.h"
#include "live/directory.h"

namespace suture::live {

namespace {

class Search {
 public:
  Search(const Machine& machine, const std::vector<PatchedObject>& objects,
         const std::vector<LoadedPatch>& patches)
      : machine_(machine) {
    for (const PatchedObject& object : objects) {
      for (const RedirectedFunction& function : object.functions) {
        functions_.emplace(function.name, object.name);
      }
    }
    for (const LoadedPatch& patch : patches) {
      for (const PatchedObject& object : patch.objects) {
        for (const RedirectedFunction& function : object.functions) {
          redirected_.emplace(function.name, object.name);
        }
      }
    }
  }

  Attachments all() && {
    if (!functions_.empty()) {
      kprobes();
      ftrace_users();
      bpf();
      error_injection();
    }
    std::ranges::stable_sort(out_.found, {}, &Attachment::function);
    return std::move(out_);
  }

 private:
  std::optional<std::string> read(const fs::path& path, const char* name) {
    auto text = read_text(path);
    if (!text) {
      out_.unreadable.emplace_back(name);
      return std::nullopt;
    }
    return std::move(*text);
  }

  // `module` is empty for vmlinux. True where the patch replaces that function.
  bool is_ours(const std::string& function, const std::string& module) const {
    auto [first, last] = functions_.equal_range(function);
    return std::any_of(first, last, [&](const auto& it) {
      return it.second == (module.empty() ? "vmlinux" : module);
    });
  }

  void add(const std::string& function, const std::string& module, std::string what,
           Effect effect) {
    if (is_ours(function, module)) {
      out_.found.push_back(Attachment{.object = module.empty() ? "vmlinux" : module,
                                      .function = function,
                                      .what = std::move(what),
                                      .effect = effect});
    }
  }

  // "ffffffff81234560  k  vfs_read+0x0  [FTRACE]", with the module's name before the flags.
  void kprobes() {
    auto text = read(machine_.sys / "kernel/debug/kprobes/list", "kprobes");
    std::istringstream lines(text.value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string address, kind, symbol, module, flags;
      words >> address >> kind >> symbol >> module >> flags;
      if (module.starts_with('[')) {
        std::swap(module, flags);
        module.clear();
      }
      const std::size_t plus = symbol.find('+');
      if (plus == std::string::npos || flags.find("[DISABLED]") != std::string::npos ||
          flags.find("[GONE]") != std::string::npos) {
        continue;
      }
      const std::string what =
          fmt::format("a {} at {}", kind == "r" ? "kretprobe" : "kprobe", symbol.substr(plus));
      add(symbol.substr(0, plus), module, what,
          flags.find("[FTRACE]") != std::string::npos ? Effect::beside : Effect::silenced);
    }
  }

  // "vfs_read [MODULE] (1) R I D \ttramp: ...": the flags end at the first tab.
  void ftrace_users() {
    auto text = read(tracing_directory(machine_) / "enabled_functions", "ftrace");
    std::istringstream lines(text.value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line.substr(0, line.find('\t')));
      std::string function, module, word, flags;
      words >> function;
      while (words >> word) {
        if (word.starts_with('[')) {
          module = word.substr(1, word.find(']') - 1);
        } else if (!word.starts_with('(')) {
          flags += word;
        }
      }
      // By a livepatch it is known where.
      const bool known = redirected_.contains({function, module.empty() ? "vmlinux" : module});
      if (flags.find('I') != std::string::npos && !known) {
        add(function, module, "another redirection (IPMODIFY), by no livepatch", Effect::refuses);
      }
    }
  }

  void bpf() {
    auto links = bpf_links();
    if (!links) {
      out_.unreadable.emplace_back("BPF");
      return;
    }
    for (const BpfLink& link : *links) {
      auto [first, last] = functions_.equal_range(link.function);
      for (; first != last; ++first) {
        add(link.function, first->second == "vmlinux" ? "" : first->second,
            fmt::format("a BPF program of the type {} (id {})", link.type, link.program),
            link.type == "fmod_ret" ? Effect::wins : Effect::beside);
      }
    }
  }

  // Only test kernels have it.
  void error_injection() {
    const fs::path list = machine_.sys / "kernel/debug/fail_function/inject";
    std::istringstream lines(read_text(list).value_or(""));
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string function, module;
      words >> function >> module;
      add(function, module.empty() ? "" : module.substr(1, module.find(']') - 1),
          "fail_function, which makes it fail", Effect::wins);
    }
  }

  const Machine& machine_;
  std::multimap<std::string, std::string> functions_;  // name → object
  std::set<std::pair<std::string, std::string>> redirected_;
  Attachments out_;
};

}  // namespace

std::string_view effect_word(Effect effect) {
  switch (effect) {
    case Effect::beside: return "beside";
    case Effect::silenced: return "silenced";
    case Effect::wins: return "wins";
    case Effect::refuses: return "refuses";
  }
  return "";
}

Attachments attachments(const Machine& machine, const std::vector<PatchedObject>& objects,
                        const std::vector<LoadedPatch>& patches) {
  return Search(machine, objects, patches).all();
}

fs::path tracing_directory(const Machine& machine) {
  for (const char* place : {"kernel/tracing", "kernel/debug/tracing"}) {
    std::error_code ec;
    if (fs::exists(machine.sys / place / "available_filter_functions", ec)) {
      return machine.sys / place;
    }
  }
  return {};
}

}  // namespace suture::live
