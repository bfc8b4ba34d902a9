#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

/// `PROGRAM POSITIONAL --option VALUE --flag`.
class Arguments {
  public:
    /// Throws std::runtime_error for what is not expected.
    Arguments(int argc, char **argv, const std::set<std::string> &options,
              const std::set<std::string> &flags);

    const std::string &positional() const { return positional_; }
    bool has(const std::string &name) const { return values_.count(name) != 0; }
    std::string get(const std::string &name, const std::string &otherwise) const;
    std::uint32_t number(const std::string &name, std::uint32_t otherwise) const;

  private:
    std::string positional_;
    std::map<std::string, std::string> values_;
};

/// "HOST:PORT" or "[HOST]:PORT" in two.
std::pair<std::string, std::string> split_address(const std::string &address);
