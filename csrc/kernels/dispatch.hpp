// Which kernel targets this build holds, which of them this CPU runs, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace pyncnnq {

// The targets that this CPU and operating system can run, best first; "scalar" is always the last.
const std::vector<const KernelTable*>& supported_targets();

// The target called `name`; throws std::invalid_argument, naming the valid ones, when it is unknown or cannot run here.
const KernelTable& target_named(const std::string& name);

// The target in use: the best one, or the one that the environment variable PYNCNNQ_TARGET names.
const KernelTable& active();

}  // namespace pyncnnq
