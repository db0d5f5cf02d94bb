// command_files.h - the files that a command makes: temporary names while it runs, then all of them
// in the tree or all of them as they were before. Copies in the cache, where they are to be kept.
// Unaware of tasks and processes. One object per execution; not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/command_text.h"
#include "src/external.h"

#include <stook/command.hpp>

namespace stook::detail {

// A file that has come into the tree.
struct MadeFile {
  Digest digest;
  FileStamp stamp;
  bool settled = false;  // the stamp is one that no later change can have
};

// Tells the temporary files of a command from those of others, and of its attempts.
struct CommandMark {
  std::string command;
  std::uint32_t attempt = 0;  // see CommandAttempt
};

// Removes what is temporary and puts back what was moved aside, unless publish() was called.
class CommandFiles {
 public:
  CommandFiles(const std::vector<std::string>& outputs, std::string depfile,
               const CommandMark& mark);
  ~CommandFiles();
  CommandFiles(const CommandFiles&) = delete;
  CommandFiles& operator=(const CommandFiles&) = delete;

  // Where the command makes them, by output, and its depfile.
  [[nodiscard]] const std::vector<std::string>& temporary() const { return temporary_; }
  [[nodiscard]] const std::string& temporary_depfile() const { return temporary_depfile_; }

  // Makes directories, and room. `use`: what argv names; the rest is made in place.
  // Throws Error.
  void prepare(const CommandUse& use);
  // What the command wrote into its depfile; nothing where it has none. Removes it. Throws Error.
  [[nodiscard]] std::vector<std::string> take_depfile();
  // Brings the outputs into the tree. `keep`: where in the cache they are kept too, as files
  // "0", "1", ...; empty: nowhere. Throws Error where one was not made.
  [[nodiscard]] std::vector<MadeFile> publish(const std::filesystem::path& keep);
  // Not where an output is a link: it is another's file.
  [[nodiscard]] bool kept_all() const { return kept_all_; }

 private:
  [[nodiscard]] const std::string& made_at(std::size_t output) const;
  [[nodiscard]] std::vector<std::string> names_of(std::uint32_t attempt) const;
  void remove_of_earlier_attempts() const;
  void move_aside(std::size_t output);

  const std::vector<std::string>& outputs_;
  const std::string depfile_;
  const CommandMark mark_;
  std::vector<std::string> temporary_;
  std::vector<std::string> aside_;  // earlier outputs of what is made in place
  std::string temporary_depfile_;
  CommandUse use_;
  bool published_ = false;
  bool kept_all_ = true;
};

// Puts the kept file into the tree: a hard link, or a copy. Throws
// std::filesystem::filesystem_error.
MadeFile restore_kept(const std::filesystem::path& kept, const std::string& output,
                      const CommandMark& mark, const Digest& digest);

// Of the content, as that of stook::File.
[[nodiscard]] Digest digest_of_file(const std::string& path);

}  // namespace stook::detail
