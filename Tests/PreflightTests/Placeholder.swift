// Nothing yet.
import Testing
