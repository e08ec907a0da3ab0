// Work shared out over the cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace pyncnnq {

// Calls work(part) once for each part below `parts`, in any order, on as many threads as there are cores.
template <class Work>
void for_each_part(size_t parts, const Work& work) {
    std::atomic<size_t> next{0};
    const auto run = [&] {
        for (size_t part; (part = next.fetch_add(1)) < parts;) work(part);
    };
    const size_t cores = std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::thread> threads;
    try {
        while (threads.size() + 1 < std::min(cores, parts)) threads.emplace_back(run);
    } catch (const std::system_error&) {
        // No more threads to be had: those there are do the work.
    }
    run();
    for (std::thread& thread : threads) thread.join();
}

}  // namespace pyncnnq
