// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: say which tasks a transition waits for, and why. Method: livepatch keeps a patch state
// per task, and one is in the way where that is the other side's; the kernel's stack of it is
// searched for a function of the patch, the old one on the way in and the new one on the way out
// (the kernel does the same before it switches a sleeping task: kernel/livepatch/transition.c,
// klp_check_stack). Suture's core lists the tasks and those functions itself, in `blocking`: their
// number, then lines "TID WHY": a function of the patch, "-", or on the way out its module, of
// whose code the stack shows which function it is. Invariant: what cannot be read of a task is left
// empty; a task that is gone is left out.
#include "machine/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>

#include "base/text.h"
#include "machine/bpf_links.h"
#include "machine/directory.h"
#include "machine/proc_stat.h"
#include "module/metadata.h"

namespace suture::machine {

namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// Calls `visit` with the directory of each task whose patch state is not the transition's.
void each_blocking(const Machine& machine, const LoadedPatch& patch,
                   const std::function<void(const Directory&, const std::string& pid,
                                            const std::string& tid)>& visit) {
  std::optional<Directory> all = Directory::open(machine.proc);
  if (!all) {
    return;
  }
  const char other = patch.enabled ? '0' : '1';  // -1: no transition, 0: unpatched, 1: patched
  for (const std::string& pid : all->directories()) {
    auto threads = is_number(pid) ? all->sub(pid + "/task") : std::nullopt;
    for (const std::string& tid : threads ? threads->directories() : std::vector<std::string>{}) {
      auto task = threads->sub(tid);
      if (task && task->line("patch_state").value_or("").starts_with(other)) {
        visit(*task, pid, tid);
      }
    }
  }
}

// "[<0>] do_something+0x12/0x40" → "do_something+0x12/0x40"
std::vector<std::string> read_stack(const Directory& task) {
  std::vector<std::string> frames;
  const std::string text = task.read("stack").value_or("");
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::size_t bracket = line.find("] ");
    frames.emplace_back(bracket == std::string_view::npos ? line : line.substr(bracket + 2));
  }
  return frames;
}

// A line of the task's `status`: "State", "Tgid".
std::string status_field(const Directory& task, std::string_view name) {
  const std::string text = task.read("status").value_or("");
  const std::string key = fmt::format("\n{}:\t", name);
  std::size_t at = text.find(key);
  if (at == std::string::npos) {
    return {};
  }
  at += key.size();
  return text.substr(at, text.find('\n', at) - at);
}

std::set<std::string> functions_of(const LoadedPatch& patch) {
  std::set<std::string> names;
  for (const PatchedObject& object : patch.objects) {
    for (const RedirectedFunction& function : object.functions) {
      names.insert(function.name);
    }
  }
  return names;
}

std::string function_on(const std::vector<std::string>& stack,
                        const std::set<std::string>& functions) {
  for (const std::string& frame : stack) {
    std::string name = frame.substr(0, frame.find('+'));
    if (name.ends_with(module::patched_suffix)) {
      name.resize(name.size() - module::patched_suffix.size());
    }
    if (functions.contains(name)) {
      return name;
    }
  }
  return {};
}

// The first frame that is BPF's code between functions, and whose programs it calls.
std::string trampoline_on(const std::vector<std::string>& stack) {
  auto frame = std::ranges::find_if(
      stack, [](const std::string& it) { return it.starts_with("bpf_trampoline_"); });
  if (frame == stack.end()) {
    return {};
  }
  std::string name = frame->substr(0, frame->find('+'));
  std::string programs;
  for (const BpfLink& link : bpf_links().value_or(std::vector<BpfLink>{})) {
    const std::string wanted = trampoline_name(link);
    if (name == wanted || name.starts_with(wanted + "_")) {
      programs += fmt::format("{}BPF program {}, {} of {}", programs.empty() ? "" : "; ",
                              link.program, link.type, link.function);
    }
  }
  return programs.empty() ? name : fmt::format("{} ({})", name, programs);
}

BlockingTask read_task(const Directory& task, const std::string& pid, const std::string& tid) {
  BlockingTask out{.pid = std::atoi(pid.c_str()),
                   .tid = std::atoi(tid.c_str()),
                   .comm = task.line("comm").value_or("?"),
                   .state = status_field(task, "State"),
                   .kernel_thread = read_stat(task).value_or(ProcStat{}).kernel_thread,
                   .stack = read_stack(task)};
  out.trampoline = trampoline_on(out.stack);
  return out;
}

std::vector<BlockingTask> by_patch_state(const Machine& machine, const LoadedPatch& patch) {
  const std::set<std::string> functions = functions_of(patch);
  std::vector<BlockingTask> tasks;
  each_blocking(machine, patch,
                [&](const Directory& task, const std::string& pid, const std::string& tid) {
                  tasks.push_back(read_task(task, pid, tid));
                  tasks.back().function = function_on(tasks.back().stack, functions);
                });
  return tasks;
}

std::optional<Directory> open_patch_directory(const Machine& machine, const LoadedPatch& patch) {
  return Directory::open(core_directory(machine, *patch.core) / patch.name);
}

// Those that the core has written into the patch's file.
std::vector<BlockingTask> as_listed(const Machine& machine, const LoadedPatch& patch) {
  auto directory = open_patch_directory(machine, patch);
  std::istringstream lines(directory ? directory->read("blocking").value_or("") : "");
  const std::set<std::string> functions = functions_of(patch);
  std::vector<BlockingTask> tasks;
  std::string tid, why;
  std::getline(lines, tid);  // how many they are
  while (lines >> tid >> why) {
    // A thread can be looked up among the processes, though it is not listed there.
    auto thread = is_number(tid) ? Directory::open(machine.proc / tid) : std::nullopt;
    const std::string pid = thread ? status_field(*thread, "Tgid") : "";
    auto task = thread ? thread->sub("task/" + tid) : std::nullopt;
    if (!task) {
      continue;
    }
    tasks.push_back(read_task(*task, pid.empty() ? tid : pid, tid));
    if (why != "-") {
      tasks.back().function =
          functions.contains(why) ? why : function_on(tasks.back().stack, functions);
    }
  }
  return tasks;
}

}  // namespace

std::vector<BlockingTask> blocking_tasks(const Machine& machine, const LoadedPatch& patch) {
  if (!patch.transition) {
    return {};
  }
  std::vector<BlockingTask> tasks =
      patch.core->states_in_proc ? by_patch_state(machine, patch) : as_listed(machine, patch);
  std::ranges::sort(tasks, {}, &BlockingTask::tid);
  return tasks;
}

std::vector<BlockingTask> tasks_inside(const Machine& machine, const LoadedPatch& patch) {
  const bool stopped = !patch.core->states_in_proc && !patch.transition && patch.model == "stop";
  return stopped ? as_listed(machine, patch) : std::vector<BlockingTask>{};
}

std::size_t count_blocking(const Machine& machine, const LoadedPatch& patch) {
  std::size_t count = 0;
  if (patch.transition && patch.core->states_in_proc) {
    each_blocking(machine, patch,
                  [&](const Directory&, const std::string&, const std::string&) { ++count; });
  } else if (patch.transition) {
    auto directory = open_patch_directory(machine, patch);
    count = static_cast<std::size_t>(
        std::max(0L, directory ? directory->number("blocking").value_or(0) : 0));
  }
  return count;
}

std::string describe(const std::vector<BlockingTask>& tasks, std::size_t limit) {
  std::vector<std::string> texts;
  for (const BlockingTask& task : tasks) {
    std::string function = task.function;
    if (function.empty() && !task.stack.empty()) {
      function = task.stack.front().substr(0, task.stack.front().find('+'));
    }
    texts.push_back(fmt::format("{} {}{}{}{}{}", task.tid, task.comm,
                                function.empty() ? "" : " in ", function,
                                task.trampoline.empty() ? "" : " behind ", task.trampoline));
  }
  return listed(texts, limit);
}

}  // namespace suture::machine
