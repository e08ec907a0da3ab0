// Work shared out over the cores.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace pyncnnq {

// The number of cores that this process may use: those of its affinity mask on Linux, elsewhere those of the machine.
size_t available_cores();

// Runs `work` on up to `most` threads, this one among them, but on no more than there are available cores.  Throws what
// the first of them threw, when all have ended.
void run_on_cores(size_t most, const std::function<void()>& work);

// Calls work(part) once for each part below `parts`, in any order, shared out over the available cores.
template <class Work>
void for_each_part(size_t parts, const Work& work) {
    std::atomic<size_t> next{0};
    run_on_cores(parts, [&] {
        for (size_t part; (part = next.fetch_add(1)) < parts;) work(part);
    });
}

}  // namespace pyncnnq
