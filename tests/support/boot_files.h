// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files of a patch, and what judge_boot_needs() refuses of them.
#pragma once

#include <algorithm>
#include <deque>
#include <iterator>

#include "diff/boot_needs.h"
#include "support/assembled.h"

namespace suture::test {

class BootFiles : public Assembled {
 protected:
  static constexpr std::string_view entry =
      "1: call __fentry__\n.pushsection __mcount_loc,\"a\"\n.quad 1b\n.popsection\n";

  static std::string code(const std::string& name, const std::string& body) {
    return ".globl " + name + "\n" + static_code(name, body);
  }
  static std::string static_code(const std::string& name, const std::string& body) {
    return function(name, std::string(entry) + body + "ret\n");
  }
  static std::string boot(const std::string& name, const std::string& body) {
    return ".globl " + name + "\n" + function(name, body + "ret\n", ".init.text");
  }
  static std::string variable(const std::string& name) {
    return ".section .bss." + name + ",\"aw\",@nobits\n.globl " + name + "\n.type " + name +
           ", @object\n" + name + ": .zero 4\n.size " + name + ", 4\n";
  }

  void file(const std::string& pre, const std::string& post) {
    Work& work = works_.emplace_back();
    open(work.pre, fmt::format("pre{}", works_.size()), pre);
    open(work.post, fmt::format("post{}", works_.size()), post);
    work.diff =
        diff::compare(work.pre.side(), work.post.side(), diff::Home::vmlinux, diff::Directives{},
                      [this](std::string_view, elf::AddressArguments) { return outside_; });
  }

  // The last file gets a callback, a function of it.
  void call_back(std::string_view function) {
    Work& work = works_.back();
    for (std::size_t i = 0; i < work.post.graph.pieces().size(); ++i) {
      if (work.post.graph.pieces()[i].name == function) {
        work.diff.directives.callbacks.push_back(
            {.kind = "post_patch", .function = static_cast<std::int32_t>(i)});
      }
    }
  }

  // What run-time code allocates and keeps.
  static std::string maker(int bytes, const std::string& after = {}) {
    return code("make",
                fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n{}", bytes, after));
  }

  std::vector<std::string> refusals() {
    std::vector<diff::Side> sides;
    for (Work& work : works_) {
      sides.push_back(work.pre.side());
      sides.push_back(work.post.side());
    }
    std::vector<diff::BootFile> files;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      files.push_back({.pre = sides[2 * i],
                       .post = sides[2 * i + 1],
                       .home = diff::Home::vmlinux,
                       .object = this,
                       .diff = works_[i].diff,
                       .boot_alone_calls = [this](const diff::Names& functions) {
                         diff::Names out;
                         std::ranges::set_intersection(functions, boot_alone_calls_,
                                                       std::inserter(out, out.end()));
                         return out;
                       }});
    }
    diff::judge_boot_needs(files);
    std::vector<std::string> out;
    for (const Work& work : works_) {
      for (const Error& refusal : work.diff.refusals) {
        out.push_back(
            fmt::format("{} {}: {}", code_name(refusal.code), refusal.where, refusal.reason));
      }
    }
    return out;
  }

  diff::Names boot_alone_calls_;
  elf::AddressFate outside_ = elf::AddressFate::leaves;  // of what other files are given

 private:
  struct Half {
    elf::ObjectFile object;
    diff::PieceGraph graph;
    diff::CodeTables tables;
    diff::Side side() const { return {graph, tables}; }
  };
  struct Work {
    Half pre, post;
    diff::ObjectDiff diff;
  };

  void open(Half& half, const std::string& name, const std::string& text) {
    half.object = elf::ObjectFile::open(assemble(name, text)).value();
    half.graph = diff::PieceGraph::build(half.object, *elf::arch_of(EM_X86_64)).value();
    half.tables = diff::CodeTables::build(half.graph, {}).value();
  }

  std::deque<Work> works_;
};

}  // namespace suture::test
